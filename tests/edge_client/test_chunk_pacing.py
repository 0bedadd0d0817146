"""Chunks are sent no faster than the link carries them, on a clock that is a number."""

import pytest

from overtone.edge_client.chunk_pacing import LEAD, ChunkPacer
from overtone.edge_client.link_estimator import FIRST_RATE
from overtone.edge_client.policy import LARGEST_CHUNK, SMALLEST_CHUNK, PlanSelector
from tests.edge_client.simulated import World, played, simulated_images


def pacer(rate: float, rtt: float = 0.1) -> tuple[ChunkPacer, float]:
    """The pacer of a link that is known, and the time when it is known."""
    selector, world = PlanSelector("on_demand"), World(rate, rtt, 0.0)
    list(played(world, selector, simulated_images(40, (0.3,))))
    return ChunkPacer(selector), world.now


def test_over_any_time_no_more_is_sent_than_the_link_carries_and_two_chunks() -> None:
    pacing, start = pacer(10_000.0)
    now, handed = start, 0
    while now < start + 2.0:
        now += pacing.pause(now) + 1e-9
        pacing.link.sent(pacing.chunk, now)
        handed += pacing.chunk
        assert handed <= 10_000.0 * (now - start) * 1.01 + 2 * pacing.chunk
    assert handed >= 0.95 * 10_000.0 * 2.0


@pytest.mark.parametrize(
    ("rate", "rtt", "chunk"), [(1000, 0.02, SMALLEST_CHUNK), (1e7, 1.0, LARGEST_CHUNK), (40_000, 0.2, 1000)]
)
def test_a_chunk_is_an_eighth_of_what_fits_before_the_answer(rate: float, rtt: float, chunk: int) -> None:
    assert pacer(rate, rtt)[0].chunk == pytest.approx(chunk, rel=0.01)


def test_an_unknown_link_is_taken_for_a_thin_one() -> None:
    pacing = ChunkPacer(PlanSelector("ahead"))
    pacing.link.sent(10_000, now=0.0)
    assert pacing.pause(0.0) == pytest.approx((10_000 - SMALLEST_CHUNK / LEAD) / FIRST_RATE)


def test_a_pause_too_short_for_a_timer_is_none() -> None:
    pacing = ChunkPacer(PlanSelector("ahead"))
    pacing.link.sent(SMALLEST_CHUNK // LEAD + 1, now=0.0)
    assert pacing.pause(0.0) == 0.0
