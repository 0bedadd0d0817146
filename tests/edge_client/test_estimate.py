"""A line through what was seen."""

import random

import pytest

from edge_client.estimate import ENOUGH, FASTEST, WINDOW, Estimate


def test_nothing_is_known_from_too_little() -> None:
    estimate = Estimate()
    for _ in range(ENOUGH + 1):
        assert (estimate.rate, estimate.round_trip) == (None, 0.0)
        estimate.add(900, 0.3)
    assert estimate.rate is None
    estimate.add(1000, 0.31)
    assert estimate.rate is not None


def test_stalls_do_no_harm() -> None:
    rng = random.Random(3)
    estimate = Estimate()
    for i in range(WINDOW):
        size = rng.randint(500, 2500)
        stall = 2.0 if i % 5 == 0 else 0.0
        estimate.add(size, 0.12 + size / 37_500 + stall + rng.uniform(0.0, 0.002))
    assert estimate.rate == pytest.approx(37_500, rel=0.05)
    assert estimate.round_trip == pytest.approx(0.121, rel=0.05)


def test_larger_messages_that_were_faster_mean_a_fast_link() -> None:
    estimate = Estimate()
    for size in (900, 800, 700, 600):
        estimate.add(size, 1 / size)
    assert estimate.rate == pytest.approx(FASTEST)


def test_old_messages_are_forgotten() -> None:
    estimate = Estimate()
    for rate in (10_000, 50_000):
        for size in range(1000, 1000 + WINDOW):
            estimate.add(size, 0.1 + size / rate)
    assert estimate.rate == pytest.approx(50_000)
