"""Tables fitted to samples: what they have learned, and what they save."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from overtone.frequency import Profile, encode_bands
from overtone.frequency.channels import HIGH, LOW
from overtone.frequency.frequency_tables import code_lengths
from overtone.training.table_fitting import CENTRE_TAPS, SPREAD_TAPS, fit_tables, share


def laplacian(seed: int, shape: tuple[int, ...], scale: float) -> NDArray[np.int16]:
    return np.rint(np.random.default_rng(seed).laplace(scale=scale, size=shape)).astype(np.int16)


def test_a_channel_that_follows_another_is_expected_there() -> None:
    low = laplacian(1, (20, 2, 8, 8), 5)
    low[:, 1] = 3 * low[:, 0]
    tables = fit_tables([(low, laplacian(2, (20, 1, 8, 8), 2))], [[16] * 3], (1, 2), (3,))
    weights = {
        tables.centre[1][i : i + 2]: tables.centre[1][i + 2] for i in range(0, len(tables.centre[1]), 3)
    }
    assert weights[(0, 0)] == pytest.approx(3 * 256, abs=2)
    assert all(abs(w) < 20 for key, w in weights.items() if key != (0, 0))


def test_taps_are_few_and_point_back() -> None:
    low, high = laplacian(3, (8, 6, 8, 8), 3), laplacian(4, (8, 18, 8, 8), 1)
    tables = fit_tables([(low, high)], [[16] * 24], LOW, HIGH)
    tables.check(LOW + HIGH, 1)
    for number, (centre, spread) in enumerate(zip(tables.centre, tables.spread, strict=True)):
        assert len(centre) <= 3 * CENTRE_TAPS
        assert len(spread) <= 3 * SPREAD_TAPS
        assert all(source <= number for source in (*centre[::3], *spread[::3]))


def test_empty_channels_are_counted_per_quality() -> None:
    full, empty = laplacian(5, (8, 1, 6, 6), 9), np.zeros((8, 1, 6, 6), np.int16)
    half = np.concatenate([full[:4], empty[:4]])
    tables = fit_tables([(full, empty), (full, half)], [[32] * 2, [16] * 2], (0,), (1,))
    assert tables.empty == ((1, 255), (1, 128))


def test_one_set_serves_steps_that_differ_between_channels() -> None:
    values = np.random.default_rng(6).laplace(scale=90, size=(20, 2, 8, 8))
    values[:, 1] = 2 * values[:, 0]
    steps = [[8, 8], [8, 24], [24, 8]]
    samples = [np.rint(values / np.array(row)[:, None, None]).astype(np.int16) for row in steps]
    tables = fit_tables([(s[:, :1], s[:, 1:]) for s in samples], steps, (1,), (2,))
    assert tables.centre[1][tables.centre[1].index(0) + 2] == pytest.approx(512, rel=0.05)


def test_fitting_twice_gives_the_same() -> None:
    low, high = laplacian(7, (3, 2, 9, 9), 4), laplacian(8, (3, 2, 9, 9), 4)
    once, again = (fit_tables([(low.copy(), high.copy())], [[9] * 4], (0, 1), (2, 3)) for _ in range(2))
    assert once == again


def test_a_sample_of_the_wrong_shape_is_refused() -> None:
    band = laplacian(9, (3, 2, 9, 9), 4)
    with pytest.raises(ValueError, match="N >= 1"):
        fit_tables([(band, band[:0])], [[9] * 4], (0, 1), (2, 3))
    with pytest.raises(ValueError, match="N >= 1"):
        fit_tables([(band, band)], [[9] * 3], (0,), (2, 3))
    with pytest.raises(ValueError, match="a row of 4 steps"):
        fit_tables([(band, band)], [[9] * 3], (0, 1), (2, 3))
    with pytest.raises(ValueError, match="at least one quality"):
        fit_tables([], [], (0, 1), (2, 3))


def ideal_bytes(band: NDArray[np.int16]) -> float:
    """The empirical entropy of every channel's values, which no table without contexts can beat."""
    total = 0.0
    for plane in band:
        counts = np.unique(plane, return_counts=True)[1]
        total -= float((counts * np.log2(counts / plane.size)).sum()) / 8
    return total


def test_size_is_near_the_entropy_where_contexts_say_nothing() -> None:
    scales = np.linspace(4, 0.5, 6)[:, None, None]
    sample = np.stack([np.rint(laplacian(s, (6, 28, 28), 100) / 100 * scales) for s in range(40)])
    low, high = sample[:, :2].astype(np.int16), sample[:, 2:].astype(np.int16)
    p = Profile.uniform(["a"], size=224, steps=(16,), low=(1, 8), high=(20, 21, 22, 23))
    p = replace(p, tables=fit_tables([(low[1:], high[1:])], p.steps, p.low, p.high))
    sent = encode_bands(low[0], high[0], p, 1)
    assert ideal_bytes(low[0]) < len(sent.low) < 1.04 * ideal_bytes(low[0]) + 16
    assert ideal_bytes(high[0]) < len(sent.high) < 1.04 * ideal_bytes(high[0]) + 16


def test_contexts_find_what_neighbours_and_other_channels_say() -> None:
    rng = np.random.default_rng(8)
    loud = rng.choice([0.2, 6.0], size=(30, 1, 14, 14))
    loud = np.repeat(np.repeat(loud, 2, axis=2), 2, axis=3)
    sample = np.rint(rng.laplace(scale=1, size=(30, 6, 28, 28)) * loud).astype(np.int16)
    sample[:, 5] = -sample[:, 3]
    p = Profile.uniform(["a"], size=224, steps=(16,), low=(1, 8), high=(2, 3, 10, 11))
    p = replace(p, tables=fit_tables([(sample[1:, :2], sample[1:, 2:])], p.steps, p.low, p.high))
    sent = encode_bands(sample[0, :2], sample[0, 2:], p, 1)
    assert len(sent.high) < 0.9 * ideal_bytes(sample[0, 2:])


def test_fitted_to_empty_images_they_cost_next_to_nothing() -> None:
    low, high = np.zeros((6, 28, 28), np.int16), np.zeros((18, 28, 28), np.int16)
    p = Profile.uniform(["a"], size=224, steps=(16,))
    p = replace(p, tables=fit_tables([(low[None], high[None])], p.steps, LOW, HIGH))
    sent = encode_bands(low, high, p, 1)
    assert len(sent.low) < 20
    assert len(sent.high) < 20


def test_a_bank_keeps_apart_what_differs_and_joins_what_is_alike() -> None:
    rng = np.random.default_rng(0)
    laws = [np.array([0.9, 0.05, 0.05] + [0] * 61), np.full(64, 1 / 64)]
    histograms = np.stack([rng.multinomial(5000, laws[i % 2]) for i in range(12)]).astype(float)
    bank, chosen = share(histograms, tables=2)
    assert len(bank) == 2
    assert len(set(chosen[::2])) == len(set(chosen[1::2])) == 1
    assert chosen[0] != chosen[1]


def test_more_tables_cost_no_more_bits() -> None:
    rng = np.random.default_rng(1)
    histograms = np.stack([np.bincount(rng.geometric(p, 2000), minlength=200)[:200] for p in rng.random(40)])

    def cost(tables: int) -> float:
        bank, chosen = share(histograms.astype(float), tables)
        assert len(bank) <= tables
        return float(sum(h @ code_lengths(bank[i], 200) for h, i in zip(histograms, chosen, strict=True)))

    assert cost(16) < cost(4) < cost(1)
