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

from overtone.frequency import PayloadError, Profile, coder, coefficients, quantise, stream
from overtone.frequency.channels import HIGH, LOW
from overtone.frequency.coding_plan import CodingPlan
from tests.frequency.random_tables import random_tables

pytestmark = pytest.mark.skipif(not coder.accelerated, reason="the C extension was not built")

ROOT = Path(__file__).parents[2]
ordinary = st.integers(-3, 3)
values = st.one_of(ordinary, st.integers(-300, 300), st.integers(-(1 << 15), (1 << 15) - 1))
PICK = st.sampled_from


def drawn(low: tuple[int, ...], high: tuple[int, ...], steps: tuple[int, ...]) -> Profile:
    """A profile with random tables."""
    p = Profile.uniform(["a"], size=64, steps=steps, low=low, high=high)
    return replace(p, tables=random_tables(low + high, len(steps)))


PROFILES = [
    drawn(LOW, HIGH, (64, 16)),
    drawn((0, 64), (1, 128, 8), (100, 30)),
    drawn((9,), (0,), (50, 20)),
    Profile.uniform(["a"], size=64, steps=(64, 16)),
]


def agree(planes: NDArray[np.int16], plan: CodingPlan, check: int) -> bytes:
    """Both encode to the same bytes, and both decode them to what they were."""
    body = stream.encode_band(planes, plan, check)
    assert coder.encode_in_c(planes, plan, check) == body
    for decode in (stream.decode_band, coder.decode_in_c):
        band, found = decode(body, planes[: plan.first], plan)
        assert band.dtype == np.int16
        assert (band == planes[plan.first :]).all()
        assert found == check
    return body


def both_bands(planes: NDArray[np.int16], profile: Profile, quality: int, check: int) -> list[bytes]:
    split = len(profile.low)
    low = agree(planes[:split], profile.plan("low", quality), check)
    return [low, agree(planes, profile.plan("high", quality), check)]


@settings(max_examples=80, deadline=None)
@given(st.data(), PICK(PROFILES), st.integers(1, 2), st.integers(0, 0xFFFF))
def test_agree_on_anything(data: st.DataObject, profile: Profile, quality: int, check: int) -> None:
    shape = (len(profile.low + profile.high), data.draw(st.integers(1, 7)), data.draw(st.integers(1, 7)))
    fill = data.draw(PICK([st.nothing(), st.just(0), ordinary]))
    planes = data.draw(arrays(np.int16, shape, elements=values, fill=fill))
    both_bands(planes, profile, quality, check)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("scale", [0.1, 1, 20, 3000, 20_000])
def test_agree_on_noise(profile: Profile, scale: float) -> None:
    noise = np.random.default_rng(3).laplace(scale=scale, size=(len(profile.low + profile.high), 9, 8))
    both_bands(noise.round().clip(-(1 << 15), (1 << 15) - 1).astype(np.int16), profile, 1, 4711)


@pytest.mark.parametrize("value", [-(1 << 15), -1, 0, 1, (1 << 15) - 1])
def test_agree_on_extremes(value: int) -> None:
    planes = np.full((24, 6, 6), value, np.int16)
    both_bands(planes, PROFILES[0], 1, 0)
    planes[:, ::2, 1::2] = ~planes[:, ::2, 1::2]
    both_bands(planes, PROFILES[0], 2, 0xFFFF)


@pytest.mark.parametrize("name", ["astronaut", "coffee", "rocket", "chelsea"])
def test_agree_on_photographs(name: str) -> None:
    from skimage import data

    rgb = getattr(data, name)()[:296, :400]
    for quality in (1, 2):
        steps = np.concatenate([PROFILES[0].low_steps(quality), PROFILES[0].high_steps(quality)])
        planes = quantise(coefficients(rgb, LOW + HIGH), steps)
        both_bands(planes, PROFILES[0], quality, 99)


BODY = both_bands(np.random.default_rng(4).integers(-9, 9, (24, 4, 4)).astype(np.int16), PROFILES[0], 2, 1)[0]
NOTHING = np.empty((0, 4, 4), np.int16)
Decode = Callable[[bytes, NDArray[np.int16], CodingPlan], tuple[NDArray[np.int16], int]]


def outcome(decode: Decode, body: bytes) -> str:
    try:
        band, check = decode(body, NOTHING, PROFILES[0].plan("low", 2))
    except PayloadError as error:
        return str(error)
    return f"{band.tolist()} {check}"


@settings(max_examples=400, deadline=None)
@given(st.integers(0, len(BODY)), st.integers(0, 6), st.binary(max_size=6))
def test_agree_on_damaged_streams_down_to_the_message(at: int, cut: int, new: bytes) -> None:
    body = BODY[:at] + new + BODY[at + cut :]
    assert outcome(coder.decode_in_c, body) == outcome(stream.decode_band, body)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_agree_on_random_streams(body: bytes) -> None:
    assert outcome(coder.decode_in_c, body) == outcome(stream.decode_band, body)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10_000), st.integers(-(1 << 31), (1 << 31) - 1), st.booleans())
def test_a_plan_that_contradicts_itself_is_no_crash(at: int, value: int, cut: bool) -> None:
    """Plans come from a checked profile; the extension checks them all the same."""
    from overtone.frequency import _coder

    good = PROFILES[0].plan("low", 2).packed
    numbers = np.frombuffer(good, np.int32).copy()
    numbers[at % len(numbers)] = value
    packed = good[: 4 * (at % len(numbers))] if cut else numbers.tobytes()
    for call in (
        lambda: _coder.decode(packed, NOTHING, BODY, 4, 4),
        lambda: _coder.encode(packed, np.ones((6, 4, 4), np.int16), 4, 4, 0),
    ):
        try:
            call()
        except (RuntimeError, ValueError):
            continue


@pytest.mark.parametrize(("height", "width"), [(0, 4), (4, 0), (-1, 4), (4, 5), (257, 1), (1 << 30, 1 << 30)])
def test_shapes_that_do_not_fit_are_refused(height: int, width: int) -> None:
    from overtone.frequency import _coder

    with pytest.raises(RuntimeError):
        _coder.encode(PROFILES[0].plan("low", 2).packed, np.ones((6, 4, 4), np.int16), height, width, 0)


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
