import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overtone.frequency.bank import BITS, ESCAPE_BITS, MAX_LENGTH, TOTAL, best_table, bits, freeze, share


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
def test_useless_weights_are_refused(weights: list[int]) -> None:
    with pytest.raises(ValueError, match="positive weights"):
        freeze(np.array(weights))


def test_bits_count_escapes() -> None:
    cost = bits((TOTAL // 2, TOTAL // 4, TOTAL // 4), 8)
    assert cost.tolist() == [1, 2] + [2 + ESCAPE_BITS + extra for extra in (0, 1, 1, 2, 2, 2)]
    assert BITS == 14


def test_rare_large_numbers_escape_rather_than_stretch_the_table() -> None:
    histogram = np.zeros(1000)
    histogram[:5] = (500, 100, 100, 20, 20)
    histogram[900] = 1
    assert len(best_table(histogram)) < 12


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
        return float(sum(h @ bits(bank[i], 200) for h, i in zip(histograms, chosen, strict=True)))

    assert cost(16) < cost(4) < cost(1)
