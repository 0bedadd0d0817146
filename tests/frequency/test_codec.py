import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from overtone.frequency import (
    THREE_LAYERS,
    Layer,
    PayloadError,
    Profile,
    ProfileError,
    coefficients,
    decode,
    encode,
    encode_values,
    join,
    known_values,
    quantise,
    read_header,
    split,
)
from overtone.frequency.channels import HIGH, LOW
from overtone.frequency.header import VERSION

PROFILE = Profile.uniform(["a", "b"], size=24, steps=(64, 16))
THREE = Profile.uniform(["a", "b"], size=24, steps=(64, 16), ladder=THREE_LAYERS)
FIVE_LAYERS = (Layer("low", 9), Layer("high", 3), Layer("low", 3), Layer("high", 1), Layer("low", 1))
FIVE = Profile.uniform(["a", "b"], size=24, steps=(64, 16), ladder=FIVE_LAYERS)

ordinary = st.integers(-3, 3)
values = st.one_of(ordinary, st.integers(-300, 300), st.integers(-(1 << 15), (1 << 15) - 1))
images = arrays(np.int16, (24, 3, 3), elements=values, fill=ordinary)


def laplacian(seed: int, scale: float = 3) -> NDArray[np.int16]:
    return np.rint(np.random.default_rng(seed).laplace(scale=scale, size=(24, 3, 3))).astype(np.int16)


@settings(max_examples=60, deadline=None)
@given(images, st.sampled_from([PROFILE, THREE, FIVE]), st.integers(1, 2))
def test_any_coefficients_survive(image: NDArray[np.int16], profile: Profile, quality: int) -> None:
    sent = encode_values(image, profile, quality)
    found = decode(sent.layers, profile)
    assert found.values.dtype == np.int16
    assert (found.values == image).all()
    assert (found.quality, found.layers) == (quality, len(profile.ladder))
    assert found.steps.tolist() == profile.known_steps(quality, len(profile.ladder)).tolist()


@pytest.mark.parametrize("value", [-(1 << 15), -1, 0, 1, (1 << 15) - 1])
@pytest.mark.parametrize("profile", [PROFILE, FIVE])
def test_extremes_everywhere_survive(value: int, profile: Profile) -> None:
    image = np.full((24, 3, 3), value, np.int16)
    assert (decode(encode_values(image, profile, 1).layers, profile).values == image).all()


def test_every_layer_tells_more() -> None:
    image = laplacian(1, 9)
    sent = encode_values(image, FIVE, 2).layers
    known = None
    for layers in range(1, len(sent) + 1):
        known = decode(sent[layers - 1 : layers], FIVE, known)
        assert (known.values == known_values(image, FIVE, layers)).all()
        away = np.abs(known.values * known.steps[:, None, None] - 16 * image[: len(known.values)])
        assert (2 * away < known.steps[:, None, None]).all()


def test_other_channel_sets_and_one_block_survive() -> None:
    p = Profile.uniform(["a"], size=8, steps=(16,), low=(64,), high=(0, 191), ladder=THREE_LAYERS)
    image = np.array([[[-5]], [[900]], [[2]]], np.int16)
    assert (decode(encode_values(image, p, 1).layers, p).values == image).all()


def test_a_header_says_what_it_is() -> None:
    sent = encode_values(laplacian(1), THREE, 2).layers
    first, second, third = (read_header(payload, 3) for payload in sent)
    assert (first.layer, first.quality, first.profile_id) == (0, 2, THREE.id)
    assert (first.sizes, first.length) == ((len(sent[1]), len(sent[2])), 10 + (len(sent[2]) > 127))
    for number, header in enumerate((second, third), 1):
        assert (header.layer, header.quality, header.profile_id, header.sizes) == (number, 2, None, ())
        assert header.length == 4
    assert {payload[0] >> 4 for payload in sent} == {VERSION}


def test_joined_payloads_can_be_split() -> None:
    sent = encode_values(laplacian(2), THREE, 1).layers
    assert split(join(sent)) == sent
    for bad in (b"", join(sent)[:-1], b"\x00" + join(sent)):
        with pytest.raises(PayloadError):
            split(bad)


def test_encode_is_its_parts() -> None:
    rgb = np.random.default_rng(3).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    for quality in PROFILE.qualities:
        steps = PROFILE.known_steps(quality, len(PROFILE.ladder))
        image = quantise(coefficients(rgb, LOW + HIGH), steps)
        assert encode(rgb, PROFILE, quality) == encode_values(image, PROFILE, quality)
    assert encode(rgb, PROFILE) == encode(rgb, PROFILE, PROFILE.quality)
    assert encode(rgb, PROFILE).quality == PROFILE.quality


def test_a_lower_quality_is_smaller() -> None:
    rgb = np.random.default_rng(4).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    coarse, fine = (encode(rgb, PROFILE, q) for q in PROFILE.qualities)
    assert all(len(a) < len(b) for a, b in zip(coarse.layers, fine.layers, strict=True))
    assert coarse.size == sum(map(len, coarse.layers))


def test_an_empty_image_costs_next_to_nothing() -> None:
    p = Profile.uniform(["a"], size=224, steps=(16,), ladder=THREE_LAYERS)
    sent = encode_values(np.zeros((24, 28, 28), np.int16), p, 1)
    assert max(map(len, sent.layers)) < 20


def test_what_does_not_fit_the_profile_is_refused() -> None:
    image = laplacian(1)
    with pytest.raises(ValueError, match=r"int16\[24, 3, 3\]"):
        encode_values(image[:, :2], PROFILE, 1)
    with pytest.raises(ValueError, match=r"int16\[24, 3, 3\]"):
        encode_values(image.astype(np.int32), PROFILE, 1)
    with pytest.raises(ValueError, match="24"):
        encode(np.zeros((32, 32, 3), np.uint8), PROFILE)
    with pytest.raises(ProfileError, match="quality 7"):
        encode_values(image, PROFILE, 7)
    with pytest.raises(PayloadError, match="no payload"):
        decode([], PROFILE)
