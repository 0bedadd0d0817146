"""Indices of a part of a data set."""

from overtone.benchmarks.evenly import evenly_spread


def test_indices_are_evenly_spread() -> None:
    assert evenly_spread(10, 4) == [0, 2, 5, 7]


def test_without_a_count_or_with_too_high_a_one_it_is_all() -> None:
    assert evenly_spread(3, None) == evenly_spread(3, 3) == evenly_spread(3, 9) == [0, 1, 2]
