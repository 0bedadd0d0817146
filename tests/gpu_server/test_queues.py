"""What may wait for the network, in time that only passes when a batch does."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from overtone.gpu_server.answer import Stage
from overtone.gpu_server.engine.inference import Request, Ticket
from overtone.gpu_server.engine.queues import BatchTimes, Queues
from tests.gpu_server.fakes import decoded_image

LARGEST = 8
# Seconds of a batch, and what each image of it adds: eight images in 88 ms, 91 a second.
FIXED, EACH = 0.008, 0.010
CAPACITY = LARGEST / (FIXED + EACH * LARGEST)
SECONDS = 10.0


def queues(standing: float = 0.2, limit: int = 256) -> Queues:
    return Queues(
        {Stage.LOW: limit, Stage.HIGH: limit}, lambda n: max(s for s in (1, 2, 4, 8) if s <= n), standing
    )


def ticket(now: float, expires: float, stage: Stage = Stage.LOW) -> Ticket:
    future = asyncio.get_running_loop().create_future()
    return Request(stage, now, now, expires, decoded_image(), future=future)


@dataclass
class Simulation:
    """Images that come evenly, each with a deadline, to a network whose batches take what they take.

    Attributes:
        slowness: of each batch in turn, as a factor.
        answered: seconds from arrival to answer, of those in time.
        wasted: images that were computed and came too late.
        refused: at admission or later, by reason.
    """

    rate: float
    deadline: float
    slowness: Callable[[int], float] = lambda _: 1.0
    queues: Queues = field(default_factory=queues)
    answered: list[float] = field(default_factory=list)
    wasted: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def run(self, seconds: float) -> None:
        arrivals = iter([n / self.rate for n in range(int(seconds * self.rate))])
        coming, now = next(arrivals), 0.0
        for number in itertools.count():
            taken = self.queues.take(now)
            for reason, tickets in taken.dropped.items() if taken else ():
                self.refused[reason] += len(tickets)
            busy = bool(taken and taken.batch)
            size = len(taken.batch) if taken else 0
            done = now + (FIXED + EACH * size) * self.slowness(number) if busy else max(now, coming)
            while coming <= done and coming < seconds:
                self._arrive(coming)
                coming = next(arrivals, seconds)
            now = done
            if taken and busy:
                self.queues.finish(taken.stage, size, (FIXED + EACH * size) * self.slowness(number))
                self._answer(taken.batch, now)
            elif coming >= seconds:
                return

    def _arrive(self, now: float) -> None:
        refusal = self.queues.refusal(Stage.LOW, now, now + self.deadline, 0.0)
        if refusal is None:
            self.queues.stages[Stage.LOW].ready[ticket(now, now + self.deadline)] = None
        else:
            assert refusal.wait > 0
            self.refused[refusal.reason] += 1

    def _answer(self, batch: list[Ticket], now: float) -> None:
        for each in batch:
            if now <= each.expires:
                self.answered.append(now - each.since)
            else:
                self.wasted += 1


@pytest.mark.parametrize("slowness", [lambda _: 1.0, lambda n: (0.8, 1.0, 1.2, 1.0)[n % 4]])
@pytest.mark.parametrize("deadline", [0.2, 0.5, 1.0, 10.0])
@pytest.mark.parametrize("load", [2.0, 5.0])
async def test_an_overloaded_network_computes_only_what_comes_in_time(
    load: float, deadline: float, slowness: Callable[[int], float]
) -> None:
    simulation = Simulation(load * CAPACITY, deadline, slowness)
    simulation.run(SECONDS)
    assert simulation.wasted <= 0.02 * len(simulation.answered)
    assert len(simulation.answered) >= 0.95 * SECONDS * CAPACITY
    assert sorted(simulation.answered)[len(simulation.answered) // 2] < 0.5


async def test_below_capacity_nothing_is_refused() -> None:
    simulation = Simulation(0.9 * CAPACITY, 1.0)
    simulation.run(SECONDS)
    assert not simulation.refused
    assert not simulation.wasted


async def test_a_burst_is_not_a_standing_queue() -> None:
    simulation = Simulation(40 * CAPACITY, 10.0)
    simulation.run(0.01 * 40 / CAPACITY * 2)  # 32 images at once, a third of a second
    assert not simulation.refused
    assert len(simulation.answered) == int(0.01 * 40 / CAPACITY * 2 * 40 * CAPACITY)


async def test_without_control_a_queue_may_stand() -> None:
    simulation = Simulation(2 * CAPACITY, 10.0, queues=queues(standing=0.0))
    simulation.run(10.0)
    assert set(simulation.refused) == {"full"}
    assert sorted(simulation.answered)[len(simulation.answered) // 2] > 1.0


async def test_high_images_that_never_wait_do_not_hide_low_ones_that_do() -> None:
    waiting = queues()
    low, high = waiting.stages[Stage.LOW].ready, waiting.stages[Stage.HIGH].ready
    for number in range(20):
        now = number / 10
        for _ in range(LARGEST):
            low[ticket(now - 1, now + 10)] = None
        high[ticket(now, now + 10, Stage.HIGH)] = None
        for stage in (Stage.HIGH, Stage.LOW):
            taken = waiting.take(now)
            assert taken
            assert taken.stage is stage
            waiting.finish(stage, len(taken.batch), 0.1)
            low[ticket(now - 1, now + 10)] = None
    assert waiting.standing(now, intervals=2)


async def test_an_expectation_that_is_too_long_is_corrected() -> None:
    """A first batch that took five seconds must not have all others refused for ever."""
    waiting = queues()
    waiting.finish(Stage.LOW, 1, 5.0)
    simulation = Simulation(2 * CAPACITY, 0.5, queues=waiting)
    simulation.run(SECONDS)
    assert len(simulation.answered) >= 0.9 * SECONDS * CAPACITY


async def test_what_can_no_longer_be_done_in_time_is_dropped_before_its_batch() -> None:
    waiting = queues()
    waiting.finish(Stage.LOW, 1, 0.1)
    hopeless, good = ticket(0.0, 1.05), ticket(0.0, 2.0)
    for each in (hopeless, good):
        waiting.stages[Stage.LOW].ready[each] = None
    taken = waiting.take(1.0)
    assert taken
    assert (taken.batch, taken.dropped) == ([good], {"late": [hopeless]})
    waiting.stages[Stage.LOW].ready[hopeless] = None
    alone = waiting.take(1.0)  # the network would be idle otherwise
    assert alone
    assert alone.batch == [hopeless]


async def test_two_devices_halve_what_has_to_be_expected() -> None:
    waits = []
    for workers in (1, 2):
        waiting = queues()
        waiting.workers = workers
        waiting.finish(Stage.LOW, LARGEST, 0.1)
        for _ in range(8 * LARGEST):
            waiting.stages[Stage.LOW].ready[ticket(0.0, 10.0)] = None
        assert waiting.take(0.0, "a")
        waits.append(waiting.estimate(Stage.LOW, 0.0).wait)
    assert waits == [pytest.approx(0.1 + 0.7 + 0.1), pytest.approx(0.7 / 2 + 0.1)]


def test_expected_times_of_sizes_that_have_not_run() -> None:
    times = BatchTimes()
    assert times.expected(3) == 0
    times.add(2, 0.3)
    assert times.expected(1) == 0.3
    assert times.expected(4) == 0.6
    times.add(4, 0.2)  # so two take no longer
    assert times.expected(2) == 0.2
