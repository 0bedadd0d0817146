import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from frequency import fit_tables, laplacian_tables
from frequency.tables import MAX_LENGTH, TOTAL, freeze


def laplacian(seed: int, shape: tuple[int, ...], scale: float) -> NDArray[np.int16]:
    return np.rint(np.random.default_rng(seed).laplace(scale=scale, size=shape)).astype(np.int16)


@given(st.lists(st.integers(1, 10**9), min_size=2, max_size=MAX_LENGTH))
def test_frozen_weights_are_positive_and_sum_to_4096(weights: list[int]) -> None:
    table = freeze(np.array(weights))
    assert sum(table) == TOTAL
    assert min(table) >= 1


@given(st.lists(st.integers(1, 500), min_size=2, max_size=4))
def test_freezing_is_as_good_as_any_neighbour(weights: list[int]) -> None:
    w = np.array(weights)
    table = np.array(freeze(w))
    bits = -(w * np.log2(table)).sum()
    for source in range(len(w)):
        for target in range(len(w)):
            moved = table.copy()
            moved[source] -= 1
            moved[target] += 1
            if moved.min() >= 1:
                assert -(w * np.log2(moved)).sum() >= bits - 1e-3 * w.max()


def test_powers_of_two_freeze_exactly() -> None:
    assert freeze(np.array([4, 2, 1, 1])) == (2048, 1024, 512, 512)


@pytest.mark.parametrize("weights", [[1], [1] * 257, [1, 0], [1, -1]])
def test_useless_weights_are_refused(weights: list[int]) -> None:
    with pytest.raises(ValueError, match="positive weights"):
        freeze(np.array(weights))


def test_fitting_counts_every_channel_on_its_own() -> None:
    low = laplacian(1, (4, 1, 16, 16), 3)
    high = laplacian(2, (4, 2, 16, 16), 1)
    high[:, 1] = 0
    tables = fit_tables(low, high, (1,), (2, 3))
    assert len(tables) == 3
    assert all(sum(t) == TOTAL and min(t) >= 1 for t in tables)
    wide, narrow, empty = tables
    assert len(wide) > len(narrow) > len(empty) == 2
    assert empty[0] > 4000
    assert abs(narrow[0] / TOTAL - (high[:, 0] == 0).mean()) < 0.02


def test_dc_is_counted_after_prediction() -> None:
    flat = np.full((5, 1, 20, 20), 7, dtype=np.int16)
    (predicted, _) = fit_tables(flat, flat, (0,), (1,))
    assert predicted[0] > 4000


def test_rare_large_values_escape_rather_than_stretch_the_alphabet() -> None:
    band = laplacian(3, (10, 1, 20, 20), 1)
    band[0, 0, 0, 0] = 30_000
    tables = fit_tables(band, band, (1,), (2,))
    assert len(tables[0]) < 40


def test_fitting_twice_gives_the_same() -> None:
    band = laplacian(4, (3, 2, 9, 9), 4)
    assert fit_tables(band, band, (0, 1), (2, 3)) == fit_tables(band.copy(), band.copy(), (0, 1), (2, 3))


def test_a_sample_of_the_wrong_shape_is_refused() -> None:
    band = laplacian(5, (3, 2, 9, 9), 4)
    with pytest.raises(ValueError, match="N >= 1"):
        fit_tables(band, band[:0], (0, 1), (2, 3))
    with pytest.raises(ValueError, match="N >= 1"):
        fit_tables(band, band, (0,), (2, 3))


@pytest.mark.parametrize("step", [1, 2, 16, 96, 1000, 65_535])
def test_laplacian_tables_hold_at_any_step(step: int) -> None:
    (table,) = laplacian_tables([step])
    assert sum(table) == TOTAL
    assert list(table[:-1]) == sorted(table[:-1], reverse=True)
