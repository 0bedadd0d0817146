import numpy as np
import pytest
from numpy.typing import NDArray

from overtone.frequency import fit_tables, prior_tables
from overtone.frequency.bank import TOTAL, best_table
from overtone.frequency.channels import ALL, HIGH, LOW
from overtone.frequency.fitting import CENTRE_TAPS, SPREAD_TAPS


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


def test_made_up_tables_hold_for_any_channels() -> None:
    for channels in (LOW + HIGH, ALL, (64,)):
        tables = prior_tables(channels, 3)
        tables.check(channels, 3)
        assert all(sum(t) == TOTAL for t in tables.bank)


def test_a_histogram_of_nothing_has_a_table() -> None:
    assert len(best_table(np.zeros(100))) == 2
