"""What is learned about a link from what was sent over it and when the server replied."""

import random
from collections.abc import Sequence

import pytest

from overtone.edge_client.link_estimator import ENOUGH, FASTEST, FIRST_RATE, MESSAGES, WINDOW, LinkEstimator

RATE, ROUND_TRIP = 10_000.0, 0.1


class Line:
    """An estimator, and the link that it estimates."""

    def __init__(self, rate: float = RATE, round_trip: float = ROUND_TRIP) -> None:
        self.estimator, self.rate, self.round_trip = LinkEstimator(), rate, round_trip
        self.free = 0.0

    def send(self, size: int, now: float, late: float = 0.0) -> float:
        """Send a message; the result is the time of its reply."""
        end = self.estimator.sent(size, now)
        self.free = max(now, self.free) + size / self.rate
        reply = self.free + self.round_trip + late
        self.estimator.replied(end, reply)
        return reply


def one_by_one(line: Line, sizes: Sequence[int], now: float = 0.0) -> float:
    for size in sizes:
        now = line.send(size, now) + 0.01
    return now


def sizes(count: int, seed: int = 3) -> list[int]:
    rng = random.Random(seed)
    return [rng.randint(500, 2500) for _ in range(count)]


def test_too_little_tells_nothing() -> None:
    line = Line()
    now = 0.0
    for _ in range(ENOUGH + 1):
        assert (line.estimator.rate, line.estimator.round_trip) == (None, 0.0)
        now = line.send(900, now)
    assert line.estimator.rate is None  # all of a size
    line.send(1000, now)
    assert line.estimator.rate == pytest.approx(RATE, rel=0.01)


@pytest.mark.parametrize("rate", [500.0, 7500.0, 37_500.0, 125_000.0, 2.5e6])
def test_one_after_another(rate: float) -> None:
    line = Line(rate)
    one_by_one(line, sizes(20))
    assert line.estimator.rate == pytest.approx(rate, rel=0.01)
    assert line.estimator.round_trip == pytest.approx(ROUND_TRIP, rel=0.01)


@pytest.mark.parametrize(
    ("rate", "in_flight"), [(500.0, 2), (500.0, 16), (7500.0, 4), (125_000.0, 2), (125_000.0, 16)]
)
def test_many_in_flight_for_longer_than_is_remembered(rate: float, in_flight: int) -> None:
    """Each message is sent when the one so many before it is answered, so a slow link is never idle."""
    line = Line(rate)
    replies: list[float] = []
    for number, size in enumerate(sizes(2 * MESSAGES)):
        now = replies[number - in_flight] if number >= in_flight else 0.0
        replies.append(line.send(size, now))
        if number > 2 * ENOUGH:
            assert line.estimator.rate == pytest.approx(rate, rel=0.02), number
    one_by_one(line, sizes(WINDOW), replies[-1])
    assert line.estimator.round_trip == pytest.approx(ROUND_TRIP, rel=0.02)


def test_stalls_do_no_harm() -> None:
    line, rng, now = Line(37_500.0, 0.12), random.Random(3), 0.0
    for number, size in enumerate(sizes(WINDOW)):
        late = (2.0 if number % 5 == 0 else 0.0) + rng.uniform(0.0, 0.002)
        now = line.send(size, now, late)
    assert line.estimator.rate == pytest.approx(37_500, rel=0.05)
    assert line.estimator.round_trip == pytest.approx(0.121, rel=0.05)


def test_larger_messages_that_were_faster_mean_a_fast_link() -> None:
    link, now = LinkEstimator(), 0.0
    for size in (900, 800, 700, 600):
        link.replied(link.sent(size, now), now + 1 / size)
        now += 1.0
    assert link.rate == pytest.approx(FASTEST)


def test_old_messages_are_forgotten() -> None:
    line = Line()
    now = one_by_one(line, sizes(WINDOW))
    line.rate = 50_000.0
    one_by_one(line, sizes(WINDOW), now)
    assert line.estimator.rate == pytest.approx(50_000, rel=0.01)


def test_the_queue_drains_at_the_rate_of_the_link() -> None:
    line = Line()
    now = one_by_one(line, sizes(20)) + 1.0
    line.estimator.sent(2000, now)
    assert line.estimator.queued_bytes(now + 0.1) == pytest.approx(1000, rel=0.02)
    line.estimator.sent(500, now + 0.1)
    assert line.estimator.queued_bytes(now + 0.1) == pytest.approx(1500, rel=0.02)
    assert line.estimator.queued_bytes(now + 1.0) == 0.0


def test_a_reply_is_better_than_a_guess() -> None:
    link = LinkEstimator()
    low = link.sent(2000, now=5.0)
    link.sent(300, now=5.0)
    assert link.queued_bytes(5.01) == pytest.approx(2300 - FIRST_RATE * 0.01)
    link.delivered(low)
    assert link.queued_bytes(5.01) == pytest.approx(300)


def test_a_connection_given_up_empties_the_queue_but_the_estimates_stay() -> None:
    line = Line()
    now = one_by_one(line, sizes(20))
    end = line.estimator.sent(50_000, now)
    line.estimator.reset_queue()
    assert line.estimator.queued_bytes(now) == 0.0
    line.estimator.replied(end, now + 9.0)  # too late to mean anything
    assert line.estimator.rate == pytest.approx(RATE, rel=0.01)
    line.free = now
    one_by_one(line, sizes(ENOUGH), now)
    assert line.estimator.rate == pytest.approx(RATE, rel=0.01)
