"""Handing over no faster than the link carries, on a clock that is a number."""

import pytest

from overtone.edge_client.link import FIRST_RATE
from overtone.edge_client.pace import LARGEST, LEAD, SMALLEST, Pace
from overtone.edge_client.policy import Chooser
from tests.edge_client.simulated import World, pictures, played


def pace(rate: float, rtt: float = 0.1) -> tuple[Pace, float]:
    """Of a link that is known, and the time by then."""
    chooser, world = Chooser("on_demand"), World(rate, rtt, 0.0)
    list(played(world, chooser, pictures(40, 0.3)))
    return Pace(chooser), world.now


def test_over_any_time_no_more_is_handed_over_than_the_link_carries_and_two_chunks() -> None:
    line, start = pace(10_000.0)
    now, handed = start, 0
    while now < start + 2.0:
        now += line.pause(now) + 1e-9
        line.link.hand(line.chunk, now)
        handed += line.chunk
        assert handed <= 10_000.0 * (now - start) * 1.01 + 2 * line.chunk
    assert handed >= 0.95 * 10_000.0 * 2.0


@pytest.mark.parametrize(
    ("rate", "rtt", "chunk"), [(1000, 0.02, SMALLEST), (1e7, 1.0, LARGEST), (40_000, 0.2, 1000)]
)
def test_a_chunk_is_an_eighth_of_what_fits_before_the_answer(rate: float, rtt: float, chunk: int) -> None:
    assert pace(rate, rtt)[0].chunk == pytest.approx(chunk, rel=0.01)


def test_an_unknown_link_is_taken_for_a_thin_one() -> None:
    line = Pace(Chooser("ahead"))
    line.link.hand(10_000, now=0.0)
    assert line.pause(0.0) == pytest.approx((10_000 - SMALLEST / LEAD) / FIRST_RATE)


def test_what_no_timer_is_worth_is_no_pause() -> None:
    line = Pace(Chooser("ahead"))
    line.link.hand(SMALLEST // LEAD + 1, now=0.0)
    assert line.pause(0.0) == 0.0
