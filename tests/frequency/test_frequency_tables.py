import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overtone.frequency import THREE_LAYERS, TWO_LAYERS, prior_tables
from overtone.frequency.channels import ALL, HIGH, LOW
from overtone.frequency.frequency_tables import (
    BITS,
    ESCAPE_BITS,
    MAX_LENGTH,
    TOTAL,
    best_table,
    code_lengths,
    freeze,
)


@given(st.lists(st.integers(1, 10**9), min_size=2, max_size=MAX_LENGTH))
def test_frozen_weights_are_positive_and_sum_to_16384(weights: list[int]) -> None:
    table = freeze(np.array(weights))
    assert sum(table) == TOTAL
    assert min(table) >= 1


@given(st.lists(st.integers(1, 500), min_size=2, max_size=4))
def test_freezing_is_as_good_as_any_neighbour(weights: list[int]) -> None:
    w = np.array(weights)
    table = np.array(freeze(w))
    cost = -(w * np.log2(table)).sum()
    for source in range(len(w)):
        for target in range(len(w)):
            moved = table.copy()
            moved[source] -= 1
            moved[target] += 1
            if moved.min() >= 1:
                assert -(w * np.log2(moved)).sum() >= cost - 1e-3 * w.max()


def test_powers_of_two_freeze_exactly() -> None:
    assert freeze(np.array([4, 2, 1, 1])) == (8192, 4096, 2048, 2048)


@pytest.mark.parametrize("weights", [[1], [1] * (MAX_LENGTH + 1), [1, 0], [1, -1]])
def test_weights_that_make_no_table_are_refused(weights: list[int]) -> None:
    with pytest.raises(ValueError, match="positive weights"):
        freeze(np.array(weights))


def test_code_lengths_count_escapes() -> None:
    cost = code_lengths((TOTAL // 2, TOTAL // 4, TOTAL // 4), 8)
    assert cost.tolist() == [1, 2] + [2 + ESCAPE_BITS + extra for extra in (0, 1, 1, 2, 2, 2)]
    assert BITS == 14


def test_rare_large_numbers_escape_rather_than_stretch_the_table() -> None:
    histogram = np.zeros(1000)
    histogram[:5] = (500, 100, 100, 20, 20)
    histogram[900] = 1
    assert len(best_table(histogram)) < 12


def test_a_histogram_of_nothing_has_a_table() -> None:
    assert len(best_table(np.zeros(100))) == 2


def test_prior_tables_hold_for_any_channels() -> None:
    for channels in (LOW + HIGH, ALL, (64, 9)):
        for ladder in (TWO_LAYERS, THREE_LAYERS):
            tables = prior_tables(channels, len(channels) // 2, ladder, 3)
            tables.check(channels, len(channels) // 2, ladder, 3)
            assert all(sum(table) == TOTAL for layer in tables.layers for table in layer.bank)
