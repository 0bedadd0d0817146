"""The frontier, and the one number for two of them."""

import pytest

from overtone.benchmarks.curve.delta_rate import CurveError, Point, compare, frontier, thinned

WAVY = [Point(300, 0.80), Point(420, 0.83), Point(900, 0.85), Point(1500, 0.86), Point(4000, 0.862)]


def scaled(points: list[Point], factor: float) -> list[Point]:
    return [Point(factor * p.bytes, p.accuracy) for p in points]


def test_the_frontier_keeps_what_nothing_beats() -> None:
    beaten = [Point(500, 0.83), Point(420, 0.81), Point(5000, 0.862)]
    assert frontier([*beaten, *reversed(WAVY)]) == WAVY


def test_of_points_that_hardly_differ_the_more_accurate_stays() -> None:
    crowded = [Point(300, 0.80), Point(303, 0.801), Point(410, 0.829), Point(420, 0.83), *WAVY[2:]]
    assert [p.bytes for p in thinned(crowded)] == [303, 420, 900, 1500, 4000]
    assert thinned(WAVY) == WAVY
    assert thinned([]) == []


def test_half_the_bytes_everywhere_is_a_half() -> None:
    found = compare(scaled(WAVY, 0.5), WAVY)
    assert found.ratio == pytest.approx(0.5)
    assert (found.lowest, found.highest) == (0.80, 0.862)


def test_only_the_range_that_both_reach_counts() -> None:
    found = compare(scaled(WAVY, 0.5), [Point(1, 0.1), *WAVY[1:4]])
    assert (found.lowest, found.highest) == (0.80, 0.86)


def test_swapping_sides_inverts_the_ratio() -> None:
    other = [Point(350, 0.79), Point(800, 0.84), Point(2000, 0.865)]
    assert compare(WAVY, other).ratio == pytest.approx(1 / compare(other, WAVY).ratio)


def test_straight_lines_have_the_mean_of_their_logarithms() -> None:
    """From equal bytes to four times as many, log-linear over top-1: a factor of two on average."""
    flat, steep = [Point(100, 0.5), Point(200, 0.6)], [Point(100, 0.5), Point(800, 0.6)]
    assert compare(steep, flat).ratio == pytest.approx(2.0)


@pytest.mark.parametrize(
    "theirs", [[Point(100, 0.9)], [Point(100, 0.9), Point(200, 0.95)]], ids=["one point", "no common range"]
)
def test_what_cannot_be_compared_is_refused(theirs: list[Point]) -> None:
    with pytest.raises(CurveError):
        compare(WAVY, theirs)
