"""The coders in C and in numpy: the same bytes from every input, the same outcome for every stream."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from overtone.frequency import (
    THREE_LAYERS,
    TWO_LAYERS,
    BlockMask,
    Layer,
    PayloadError,
    Profile,
    coder,
    coefficients,
    known_values,
    quantise,
    stream,
)
from overtone.frequency.channels import HIGH, LOW
from overtone.frequency.coding_plan import CodingPlan
from overtone.frequency.context import Region
from tests.frequency.random_tables import random_tables

pytestmark = pytest.mark.skipif(not coder.accelerated, reason="the C extension was not built")

ROOT = Path(__file__).parents[2]
ordinary = st.integers(-3, 3)
values = st.one_of(ordinary, st.integers(-300, 300), st.integers(-(1 << 15), (1 << 15) - 1))
PICK = st.sampled_from


FIVE_LAYERS = (Layer("low", 9), Layer("high", 3), Layer("low", 3), Layer("high", 1), Layer("low", 1))


def drawn(
    low: tuple[int, ...],
    high: tuple[int, ...],
    steps: tuple[int, ...],
    ladder: tuple[Layer, ...] = TWO_LAYERS,
) -> Profile:
    """A profile with random tables."""
    p = Profile.uniform(["a"], size=64, steps=steps, low=low, high=high, ladder=ladder)
    return replace(p, tables=random_tables(low + high, len(low), len(steps), ladder))


PROFILES = [
    drawn(LOW, HIGH, (64, 16)),
    drawn((0, 64), (1, 128, 8), (100, 30), FIVE_LAYERS),
    drawn((9,), (0,), (50, 20), THREE_LAYERS),
    drawn(LOW, HIGH, (64, 16), FIVE_LAYERS),
    Profile.uniform(["a"], size=64, steps=(64, 16), ladder=THREE_LAYERS),
]


def agree(
    known: NDArray[np.int16], coded: NDArray[np.int16], plan: CodingPlan, check: int, region: Region | None
) -> bytes:
    """Both encode to the same bytes, and both decode them to what they were."""
    body = stream.encode_layer(known, coded, plan, check, region)
    assert coder.encode_in_c(known, coded, plan, check, region) == body
    for decode in (stream.decode_layer, coder.decode_in_c):
        band, found = decode(body, known, plan, region)
        assert band.dtype == np.int16
        assert (band == coded).all()
        assert found == check
    return body


def all_layers(
    planes: NDArray[np.int16], profile: Profile, quality: int, check: int, mask: BlockMask | None = None
) -> list[bytes]:
    """Bodies of all layers; with a mask, those after the first one are of its blocks only."""
    bodies, known, masks = [], planes[:0], (None, *[mask] * len(profile.ladder))
    for layer in range(len(profile.ladder)):
        told = known_values(planes, profile, layer + 1, masks)
        coded, region = told[profile.channels_of(layer)], mask.blocks if mask and layer else None
        bodies.append(agree(known, coded, profile.plan(layer, quality), check, region))
        known = told
    return bodies


@settings(max_examples=25, deadline=None)
@given(st.data(), PICK(PROFILES), st.integers(1, 2), st.integers(0, 0xFFFF))
def test_agree_on_anything(data: st.DataObject, profile: Profile, quality: int, check: int) -> None:
    shape = (len(profile.low + profile.high), data.draw(st.integers(1, 7)), data.draw(st.integers(1, 7)))
    fill = data.draw(PICK([st.nothing(), st.just(0), ordinary]))
    planes = data.draw(arrays(np.int16, shape, elements=values, fill=fill))
    all_layers(planes, profile, quality, check)


@settings(max_examples=20, deadline=None)
@given(st.data(), PICK(PROFILES), st.integers(0, 0xFFFF))
def test_agree_on_regions_of_anything(data: st.DataObject, profile: Profile, check: int) -> None:
    shape = (len(profile.low + profile.high), data.draw(st.integers(1, 7)), data.draw(st.integers(1, 7)))
    planes = data.draw(arrays(np.int16, shape, elements=values, fill=data.draw(PICK([st.just(0), ordinary]))))
    all_layers(planes, profile, 1, check, BlockMask(data.draw(arrays(np.bool_, shape[1:]))))


@pytest.mark.parametrize("profile", PROFILES[:3])
@pytest.mark.parametrize("scale", [1, 3000])
def test_agree_on_regions_of_noise(profile: Profile, scale: float) -> None:
    rng = np.random.default_rng(7)
    noise = rng.laplace(scale=scale, size=(len(profile.low + profile.high), 6, 5)).round().astype(np.int16)
    for blocks in (rng.random((6, 5)) < 0.4, np.ones((6, 5), np.bool_), np.eye(6, 5, dtype=np.bool_)):
        all_layers(noise, profile, 1, 4711, BlockMask(blocks))


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("scale", [0.1, 1, 20, 3000, 20_000])
def test_agree_on_noise(profile: Profile, scale: float) -> None:
    noise = np.random.default_rng(3).laplace(scale=scale, size=(len(profile.low + profile.high), 5, 6))
    all_layers(noise.round().clip(-(1 << 15), (1 << 15) - 1).astype(np.int16), profile, 1, 4711)


@pytest.mark.parametrize("value", [-(1 << 15), -1, 0, 1, (1 << 15) - 1])
def test_agree_on_extremes(value: int) -> None:
    planes = np.full((24, 6, 6), value, np.int16)
    all_layers(planes, PROFILES[3], 1, 0)
    planes[:, ::2, 1::2] = ~planes[:, ::2, 1::2]
    all_layers(planes, PROFILES[3], 2, 0xFFFF)


@pytest.mark.parametrize("name", ["astronaut", "coffee", "rocket", "chelsea"])
def test_agree_on_photographs(name: str) -> None:
    from skimage import data

    rgb = getattr(data, name)()[:296, :400]
    for quality in (1, 2):
        steps = PROFILES[0].known_steps(quality, len(PROFILES[0].ladder))
        planes = quantise(coefficients(rgb, LOW + HIGH), steps)[:, :9, :7]
        all_layers(planes, PROFILES[3], quality, 99)


MASK = BlockMask(np.random.default_rng(8).random((4, 4)) < 0.6)
MASKS = (None, *[MASK] * 4)
DRAWN = np.random.default_rng(4).integers(-9, 9, (24, 4, 4)).astype(np.int16)
BODIES = all_layers(DRAWN, PROFILES[3], 2, 1)
REGIONS = all_layers(DRAWN, PROFILES[3], 2, 1, MASK)
NOTHING = np.empty((0, 4, 4), np.int16)
Decode = Callable[[bytes, NDArray[np.int16], CodingPlan, Region | None], tuple[NDArray[np.int16], int]]


def outcome(decode: Decode, body: bytes, layer: int, masked: bool) -> str:
    known = known_values(DRAWN, PROFILES[3], layer, MASKS if masked else ())
    try:
        band, check = decode(body, known, PROFILES[3].plan(layer, 2), MASK.blocks if masked else None)
    except PayloadError as error:
        return str(error)
    return f"{band.tolist()} {check}"


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 4), st.integers(0, 1000), st.integers(0, 6), st.binary(max_size=6), st.booleans())
def test_agree_on_damaged_streams_down_to_the_message(
    layer: int, at: int, cut: int, new: bytes, masked: bool
) -> None:
    masked = masked and layer > 0
    good = (REGIONS if masked else BODIES)[layer]
    at %= len(good)
    body = good[:at] + new + good[at + cut :]
    assert outcome(coder.decode_in_c, body, layer, masked) == outcome(
        stream.decode_layer, body, layer, masked
    )


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 4), st.binary(max_size=300), st.booleans())
def test_agree_on_random_streams(layer: int, body: bytes, masked: bool) -> None:
    masked = masked and layer > 0
    assert outcome(coder.decode_in_c, body, layer, masked) == outcome(
        stream.decode_layer, body, layer, masked
    )


def test_both_refuse_a_value_that_is_not_next_to_its_coarse_one() -> None:
    known = known_values(DRAWN, PROFILES[3], 2)
    plan = PROFILES[3].plan(2, 1)
    for encode in (stream.encode_layer, coder.encode_in_c):
        with pytest.raises(ValueError, match="not next to its coarse one"):
            encode(known, 3 * known[:6] + np.int16(2), plan, 0)


@pytest.mark.parametrize("layer", [1, 2])
def test_both_refuse_a_value_outside_the_region_that_is_not_the_known_one(layer: int) -> None:
    known = known_values(DRAWN, PROFILES[3], layer, MASKS)
    coded = known_values(DRAWN, PROFILES[3], layer + 1, MASKS)[PROFILES[3].channels_of(layer)]
    coded[3][~MASK.blocks] += 1
    for encode in (stream.encode_layer, coder.encode_in_c):
        with pytest.raises(ValueError, match="outside the region"):
            encode(known, coded, PROFILES[3].plan(layer, 1), 0, MASK.blocks)


@settings(max_examples=400, deadline=None)
@given(PICK([0, 2]), st.integers(0, 100_000), st.integers(-(1 << 31), (1 << 31) - 1), st.booleans())
def test_a_plan_that_contradicts_itself_is_no_crash(layer: int, at: int, value: int, cut: bool) -> None:
    """Plans come from a checked profile; the extension checks them all the same."""
    from overtone.frequency import _coder

    good = PROFILES[3].plan(layer, 2).packed
    numbers = np.frombuffer(good, np.int32).copy()
    # Most of a plan is weights, of which any will do.
    at %= min(len(numbers), int(numbers[0]) + 50) if at % 4 else 900
    numbers[at] = value
    packed = good[: 4 * at] if cut else numbers.tobytes()
    known = known_values(DRAWN, PROFILES[3], layer)
    coded = known_values(DRAWN, PROFILES[3], layer + 1)[PROFILES[3].channels_of(layer)]
    for call in (
        lambda: _coder.decode(packed, known, BODIES[layer], 4, 4),
        lambda: _coder.encode(packed, known, coded, 4, 4, 0),
    ):
        try:
            call()
        except (RuntimeError, ValueError):
            continue


@pytest.mark.parametrize(("height", "width"), [(0, 4), (4, 0), (-1, 4), (4, 5), (257, 1), (1 << 30, 1 << 30)])
def test_shapes_that_do_not_fit_are_refused(height: int, width: int) -> None:
    from overtone.frequency import _coder

    with pytest.raises(RuntimeError):
        _coder.encode(PROFILES[0].plan(0, 2).packed, NOTHING, np.ones((6, 4, 4), np.int16), height, width, 0)


@pytest.mark.parametrize("blocks", [np.ones((4, 5), np.uint8), np.ones(0, np.uint8)])
def test_a_region_that_does_not_fit_is_refused(blocks: NDArray[np.uint8]) -> None:
    from overtone.frequency import _coder

    plan = PROFILES[0].plan(0, 2).packed
    with pytest.raises(RuntimeError, match="region"):
        _coder.encode(plan, NOTHING, np.ones((6, 4, 4), np.int16), 4, 4, 0, blocks)
    with pytest.raises(RuntimeError, match="region"):
        _coder.decode(plan, NOTHING, BODIES[0], 4, 4, blocks)


def test_the_environment_can_ask_for_numpy() -> None:
    script = "from overtone import frequency; print(frequency.accelerated)"
    for extra, expected in (({}, "True"), ({"OVERTONE_PURE": "1"}, "False")):
        run = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONPATH": str(ROOT), "OVERTONE_PURE": "", **extra},
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stdout.strip() == expected
