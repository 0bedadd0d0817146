from dataclasses import replace

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
    fit_tables,
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


def ideal_bytes(band: NDArray[np.int16]) -> float:
    """The empirical entropy of every channel's values, which no table without contexts can beat."""
    total = 0.0
    for plane in band:
        counts = np.unique(plane, return_counts=True)[1]
        total -= float((counts * np.log2(counts / plane.size)).sum()) / 8
    return total


def test_size_is_near_the_entropy_where_contexts_say_nothing() -> None:
    scales = np.linspace(4, 0.5, 23)[:, None, None]
    sample = np.stack([np.rint(laplacian(s, (23, 28, 28), 100) / 100 * scales) for s in range(40)])
    sample = sample.astype(np.int16)
    low_channels, high_channels = LOW[1:4] + HIGH[:2], tuple(c for c in range(20, 38))
    low, high = sample[:, :5], sample[:, 5:]
    p = Profile.uniform(["a"], size=224, steps=(16,), low=low_channels, high=high_channels)
    p = replace(p, tables=fit_tables([(low[1:], high[1:])], p.steps, low_channels, high_channels))
    sent = encode_bands(low[0], high[0], p, 1)
    assert ideal_bytes(low[0]) < len(sent.low) < 1.04 * ideal_bytes(low[0]) + 16
    assert ideal_bytes(high[0]) < len(sent.high) < 1.04 * ideal_bytes(high[0]) + 16


def test_contexts_find_what_neighbours_and_other_channels_say() -> None:
    rng = np.random.default_rng(8)
    loud = rng.choice([0.2, 6.0], size=(30, 1, 14, 14))
    loud = np.repeat(np.repeat(loud, 2, axis=2), 2, axis=3)
    sample = np.rint(rng.laplace(scale=1, size=(30, 24, 28, 28)) * loud).astype(np.int16)
    sample[:, 9] = -sample[:, 7]
    p = Profile.uniform(["a"], size=224, steps=(16,))
    p = replace(p, tables=fit_tables([(sample[1:, :6], sample[1:, 6:])], p.steps, LOW, HIGH))
    sent = encode_bands(sample[0, :6], sample[0, 6:], p, 1)
    assert len(sent.high) < 0.9 * ideal_bytes(sample[0, 6:])


def test_an_empty_picture_costs_next_to_nothing() -> None:
    low, high = np.zeros((6, 28, 28), np.int16), np.zeros((18, 28, 28), np.int16)
    p = Profile.uniform(["a"], size=224, steps=(16,))
    for tables in (p.tables, fit_tables([(low[None], high[None])], p.steps, LOW, HIGH)):
        sent = encode_bands(low, high, replace(p, tables=tables), 1)
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
