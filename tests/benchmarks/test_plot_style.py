import pytest

from overtone.benchmarks.sweep import ink


def test_labels_keep_their_distance_and_their_order() -> None:
    assert ink.apart([0.8, 0.2, 0.5], 0.1) == pytest.approx([0.8, 0.2, 0.5])
    assert ink.apart([0.50, 0.52, 0.9], 0.1) == pytest.approx([0.46, 0.56, 0.9])
    # Two that were pushed apart push the next.
    placed = ink.apart([0.50, 0.50, 0.58], 0.1)
    assert placed[1] - placed[0] == pytest.approx(0.1)
    assert placed[2] - placed[1] == pytest.approx(0.1)
    assert sum(placed) / 3 == pytest.approx(1.58 / 3)


def test_ticks() -> None:
    assert ink.decades(40, 600) == [50, 100, 200, 500]
    assert ink.decades(9, 4000) == [10, 30, 100, 300, 1000, 3000]
    assert [ink.tick(value) for value in (50, 1000, 3000)] == ["50 ms", "1 s", "3 s"]


def test_names_of_links() -> None:
    assert ink.link_title("lte-m").startswith("LTE-M · 300")
    assert ink.link_title("unlimited") == "Unlimited"
