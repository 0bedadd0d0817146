import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from overtone.frequency import (
    Profile,
    ProfileError,
    coefficients,
    decode_high,
    decode_low,
    encode,
    encode_bands,
    quantise,
    read_header,
)
from overtone.frequency.channels import HIGH, LOW

PROFILE = Profile.uniform(["a", "b"], size=24, steps=(64, 16))

ordinary = st.integers(-3, 3)
values = st.one_of(ordinary, st.integers(-300, 300), st.integers(-(1 << 15), (1 << 15) - 1))


def bands(channels: int) -> st.SearchStrategy[NDArray[np.int16]]:
    return arrays(np.int16, (channels, 3, 3), elements=values, fill=ordinary)


def laplacian(seed: int, shape: tuple[int, ...], scale: float) -> NDArray[np.int16]:
    return np.rint(np.random.default_rng(seed).laplace(scale=scale, size=shape)).astype(np.int16)


@settings(max_examples=60, deadline=None)
@given(bands(6), bands(18), st.sampled_from(PROFILE.qualities))
def test_any_coefficients_survive(low: NDArray[np.int16], high: NDArray[np.int16], quality: int) -> None:
    sent = encode_bands(low, high, PROFILE, quality)
    got = decode_low(sent.low, PROFILE)
    assert got.dtype == np.int16
    assert (got == low).all()
    assert (decode_high(sent.high, got, PROFILE) == high).all()


@pytest.mark.parametrize("value", [-(1 << 15), -1, 0, 1, (1 << 15) - 1])
def test_extremes_everywhere_survive(value: int) -> None:
    low, high = np.full((6, 3, 3), value, np.int16), np.full((18, 3, 3), value, np.int16)
    sent = encode_bands(low, high, PROFILE, 1)
    assert (decode_low(sent.low, PROFILE) == low).all()
    assert (decode_high(sent.high, low, PROFILE) == high).all()


def test_other_channel_sets_and_one_block_survive() -> None:
    p = Profile.uniform(["a"], size=8, steps=(16,), low=(64,), high=(0, 191))
    low, high = np.array([[[-5]]], np.int16), np.array([[[900]], [[2]]], np.int16)
    sent = encode_bands(low, high, p, 1)
    assert (decode_low(sent.low, p) == low).all()
    assert (decode_high(sent.high, low, p) == high).all()


def test_a_header_says_what_it_is() -> None:
    sent = encode_bands(laplacian(1, (6, 3, 3), 5), laplacian(2, (18, 3, 3), 2), PROFILE, 2)
    low, high = read_header(sent.low), read_header(sent.high)
    assert (low.version, low.band, low.quality, low.profile_id) == (2, "low", 2, PROFILE.id)
    assert (low.high_size, low.length) == (len(sent.high), 9 if len(sent.high) < 128 else 10)
    assert (high.version, high.band, high.quality, high.profile_id) == (2, "high", 2, None)
    assert (high.high_size, high.length) == (None, 4)


def test_joined_payloads_can_be_split() -> None:
    sent = encode_bands(laplacian(1, (6, 3, 3), 5), laplacian(2, (18, 3, 3), 2), PROFILE, 1)
    joined = sent.low + sent.high
    size = read_header(joined).high_size
    assert size is not None
    assert (joined[:-size], joined[-size:]) == (sent.low, sent.high)


def test_encode_is_its_parts() -> None:
    rgb = np.random.default_rng(3).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    for quality in PROFILE.qualities:
        low = quantise(coefficients(rgb, LOW), PROFILE.low_steps(quality))
        high = quantise(coefficients(rgb, HIGH), PROFILE.high_steps(quality))
        assert encode(rgb, PROFILE, quality) == encode_bands(low, high, PROFILE, quality)
    assert encode(rgb, PROFILE) == encode(rgb, PROFILE, PROFILE.quality)
    assert encode(rgb, PROFILE).quality == PROFILE.quality


def test_a_lower_quality_is_smaller() -> None:
    rgb = np.random.default_rng(4).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    coarse, fine = (encode(rgb, PROFILE, q) for q in PROFILE.qualities)
    assert len(coarse.low) < len(fine.low)
    assert len(coarse.high) < len(fine.high)


def test_an_empty_image_costs_next_to_nothing() -> None:
    low, high = np.zeros((6, 28, 28), np.int16), np.zeros((18, 28, 28), np.int16)
    sent = encode_bands(low, high, Profile.uniform(["a"], size=224, steps=(16,)), 1)
    assert len(sent.low) < 20
    assert len(sent.high) < 20


def test_what_does_not_fit_the_profile_is_refused() -> None:
    low, high = laplacian(1, (6, 3, 3), 5), laplacian(2, (18, 3, 3), 2)
    with pytest.raises(ValueError, match=r"int16\[6, 3, 3\]"):
        encode_bands(low[:, :2], high, PROFILE, 1)
    with pytest.raises(ValueError, match=r"int16\[18, 3, 3\]"):
        encode_bands(low, high.astype(np.int32), PROFILE, 1)
    with pytest.raises(ValueError, match=r"int16\[6, 3, 3\]"):
        decode_high(encode_bands(low, high, PROFILE, 1).high, high, PROFILE)
    with pytest.raises(ValueError, match="24"):
        encode(np.zeros((32, 32, 3), np.uint8), PROFILE)
    with pytest.raises(ProfileError, match="quality 7"):
        encode_bands(low, high, PROFILE, 7)
