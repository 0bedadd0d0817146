from itertools import pairwise

import pytest

from overtone.benchmarks import plot_style as style


def test_labels_keep_their_distance_and_their_order() -> None:
    assert style.apart([0.8, 0.2, 0.5], 0.1) == pytest.approx([0.8, 0.2, 0.5])
    assert style.apart([0.50, 0.52, 0.9], 0.1) == pytest.approx([0.46, 0.56, 0.9])
    # Two that were pushed apart push the next.
    placed = style.apart([0.50, 0.50, 0.58], 0.1)
    assert [b - a for a, b in pairwise(placed)] == pytest.approx([0.1, 0.1])
    assert sum(placed) / 3 == pytest.approx(1.58 / 3)


def test_ticks() -> None:
    assert style.decades(40, 600) == [50, 100, 200, 500]
    assert style.decades(9, 4000) == [10, 30, 100, 300, 1000, 3000]
    assert [style.tick(value) for value in (50, 1000, 3000)] == ["50 ms", "1 s", "3 s"]


def test_names_of_links() -> None:
    assert style.link_title("lte-m").startswith("LTE-M · 300")
    assert style.link_title("unlimited") == "Unlimited"
