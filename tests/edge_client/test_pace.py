"""Handing over no faster than the link carries, on a clock that is a number."""

import pytest

from edge_client.pace import FIRST_RATE, LARGEST, LEAD, SMALLEST, Pace
from edge_client.policy import Chooser
from tests.edge_client.simulated import World, pictures, played


def pace(rate: float, rtt: float = 0.1) -> Pace:
    """Of a link that is known."""
    chooser = Chooser("on_demand")
    list(played(World(rate, rtt, 0.0), chooser, pictures(40, 0.3)))
    return Pace(chooser)


def test_what_has_been_handed_over_drains_at_the_rate_of_the_link() -> None:
    link = pace(10_000.0)
    link.hand(2000, now=5.0)
    assert link.waiting(5.1) == pytest.approx(1000, rel=0.01)
    link.hand(500, now=5.1)
    assert link.waiting(5.1) == pytest.approx(1500, rel=0.01)
    assert link.waiting(6.0) == 0.0


def test_the_servers_word_is_better_than_a_guess() -> None:
    link = pace(10_000.0)
    low = link.hand(2000, now=5.0)
    link.hand(300, now=5.0)
    link.arrived(low)
    assert link.waiting(5.01) == pytest.approx(300)


def test_over_any_time_no_more_is_handed_over_than_the_link_carries_and_two_chunks() -> None:
    link = pace(10_000.0)
    now, handed = 0.0, 0
    while now < 2.0:
        now += link.pause(now) + 1e-9
        link.hand(link.chunk, now)
        handed += link.chunk
        assert handed <= 10_000.0 * now * 1.01 + 2 * link.chunk
    assert handed >= 0.95 * 10_000.0 * 2.0


@pytest.mark.parametrize(
    ("rate", "rtt", "chunk"), [(1000, 0.02, SMALLEST), (1e7, 1.0, LARGEST), (40_000, 0.2, 1000)]
)
def test_a_chunk_is_an_eighth_of_what_fits_before_the_answer(rate: float, rtt: float, chunk: int) -> None:
    assert pace(rate, rtt).chunk == pytest.approx(chunk, rel=0.01)


def test_an_unknown_link_is_taken_for_a_thin_one() -> None:
    link = Pace(Chooser("ahead"))
    link.hand(10_000, now=0.0)
    assert link.pause(0.0) == pytest.approx((10_000 - SMALLEST / LEAD) / FIRST_RATE)
