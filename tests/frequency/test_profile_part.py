"""A part of a profile writes the payloads of the whole, and comes back from its compact form."""

import lzma
from dataclasses import replace

import numpy as np
import pytest

from overtone.frequency import (
    THREE_LAYERS,
    Profile,
    ProfileError,
    WrongProfileError,
    decode,
    encode_further,
    encode_values,
    pack_part,
    part_of,
    unpack_part,
)
from overtone.frequency.profile_part import FILTERS
from tests.frequency.random_tables import random_tables

CHANNELS = (0, 1, 2, 64, 128, 65)


@pytest.fixture(scope="module")
def profile() -> Profile:
    """One whose tables, unlike prior ones, differ in every number."""
    plain = Profile.uniform(["a", "b"], size=64, low=CHANNELS[:4], high=CHANNELS[4:], ladder=THREE_LAYERS)
    tables = random_tables(CHANNELS, 4, 3, THREE_LAYERS)
    return replace(plain, tables=tables, thresholds=(56, 60, 64))


@pytest.fixture(scope="module")
def values(profile: Profile) -> np.ndarray:
    return np.random.default_rng(1).integers(-4, 5, (6, 8, 8)).astype(np.int16)


@pytest.mark.parametrize("quality", [None, 1, 3])
def test_a_part_comes_back_layer_by_layer(profile: Profile, quality: int | None) -> None:
    found = None
    for layers in (1, 2, 3):
        part = part_of(profile, quality, layers)
        found = unpack_part(pack_part(part, layers - 1), found)
        assert found == part
        assert found == unpack_part(pack_part(part))
        assert found.id == profile.id
        assert found.qualities == (quality or profile.quality,)


def test_a_part_writes_the_payloads_of_the_whole(profile: Profile, values: np.ndarray) -> None:
    whole = encode_values(values, profile, 2)
    assert encode_values(values, part_of(profile, 2), 2) == whole

    first = encode_values(values, part_of(profile, 2, 1), 2)
    further = encode_further(encode_further(first, part_of(profile, 2, 2)), part_of(profile, 2))

    assert [len(first.layers), len(further.layers)] == [1, 3]
    assert further.layers[1:] == whole.layers[1:]
    assert (decode(further.layers, profile).values == values).all()


def test_a_layer_without_tables_is_an_error(profile: Profile) -> None:
    part = part_of(profile, 2, 1)
    with pytest.raises(ProfileError, match="no tables for layer 2"):
        part.plan(1, 2)
    with pytest.raises(ProfileError, match="no quality 3"):
        part.plan(0, 3)
    for quality, layers in ((9, 1), (2, 0), (2, 4)):
        with pytest.raises(ProfileError):
            part_of(profile, quality, layers)


def test_a_part_of_another_profile_does_not_follow(profile: Profile) -> None:
    other = part_of(replace(profile, name="other"), 2, 1)
    further = pack_part(part_of(profile, 2), 1)
    for before in (other, None, part_of(profile, 2, 2)):
        with pytest.raises(ProfileError, match="does not belong"):
            unpack_part(further, before)


def test_only_a_part_may_lack_labels_and_layers(profile: Profile) -> None:
    part = part_of(profile, 2, 1)
    with pytest.raises(ProfileError, match="labels"):
        replace(profile, labels=())
    with pytest.raises(ProfileError, match="need one for each layer"):
        replace(profile, tables=part.tables, qualities=(2,), quality=2, steps=part.steps, thresholds=())
    with pytest.raises(ProfileError, match="whole"):
        replace(part, whole="0123")
    with pytest.raises(WrongProfileError):
        decode(encode_values(np.zeros((6, 8, 8), np.int16), part, 2).layers, replace(profile, name="other"))


def test_damage_is_an_error_and_bounded(profile: Profile) -> None:
    packed = pack_part(part_of(profile, 2))
    bomb = lzma.compress(bytes(1 << 22), lzma.FORMAT_RAW, filters=FILTERS)
    for bad in (
        b"",
        packed[:-1],
        packed + b"x",
        bomb,
        lzma.compress(b"\x02{}", lzma.FORMAT_RAW, filters=FILTERS),
    ):
        with pytest.raises(ProfileError):
            unpack_part(bad)
    body = lzma.decompress(packed, lzma.FORMAT_RAW, filters=FILTERS)
    random = np.random.default_rng(0)
    for _ in range(100):
        damaged = bytearray(body)
        damaged[random.integers(len(body))] ^= 1 << random.integers(8)
        try:
            unpack_part(lzma.compress(bytes(damaged), lzma.FORMAT_RAW, filters=[FILTERS[0] | {"preset": 0}]))
        except ProfileError:
            continue
