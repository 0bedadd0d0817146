"""The queues in front of the networks: admission by estimated waiting times, and the choice of the next batch.

The current time is an argument everywhere, and there are no threads, timers or locks here; the caller holds a lock.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from overtone.gpu_server.answer import Stage
from overtone.gpu_server.engine.inference import StageQueue, Ticket
from overtone.gpu_server.engine.moving_average import MovingAverage

# High goes first, because the device has already spent its bytes.
ORDER = (Stage.HIGH, Stage.LOW)
# The part of the time until its deadline in which an image is expected to be done, if it is to be admitted: batches
# do not all take equally long, and an answer that comes late was computed for nothing.
ADMITTED = 0.8
# Seconds for which images must have waited too long until the queue counts as standing (as in CoDel, RFC 8289).
INTERVAL = 0.25
# The least share of the networks' time that low images are assumed to get, however many high ones there are.
LEAST_LOW_SHARE = 0.2


class BatchTimes:
    """Measured seconds of batches of one stage, by their size."""

    def __init__(self) -> None:
        self._seconds: dict[int, MovingAverage] = {}

    def add(self, size: int, seconds: float) -> None:
        """Learn from a batch."""
        self._seconds.setdefault(size, MovingAverage()).add(seconds)

    def expected(self, size: int) -> float:
        """Expected seconds of a batch: no more than a larger one took, and no more than as many smaller ones."""
        larger = [average.value for other, average in self._seconds.items() if other >= size]
        smaller = [average.value * size / other for other, average in self._seconds.items() if other < size]
        return min(larger) if larger else min(smaller, default=0.0)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an image is not admitted, as the label of a metric, and the seconds after which there may be room."""

    reason: str
    wait: float


@dataclass(frozen=True, slots=True)
class AdmissionEstimate:
    """Seconds until one more image would be done, and the reason, if any, to refuse it whatever its deadline is."""

    wait: float = 0.0
    reason: str = ""

    def refusal(self, left: float) -> Refusal | None:
        """Why an image with `left` seconds until its deadline is refused; None if it is admitted."""
        reason = self.reason or ("late" if self.wait > ADMITTED * left else "")
        return Refusal(reason, self.wait) if reason else None


@dataclass(slots=True)
class Dequeued:
    """The next batch, which may be empty, and the images that were dropped instead, by reason."""

    stage: Stage
    batch: list[Ticket]
    dropped: dict[str, list[Ticket]]


class Queues:
    """One queue for each stage.

    Args:
        limits: how many images may wait in each.
        batch_size: how many of so many waiting images the next batch holds.
        standing_delay: seconds for which images may wait in a queue that does not empty; 0 means any.

    Attributes:
        workers: how many batches can run at the same time.
    """

    workers = 1

    def __init__(
        self, limits: dict[Stage, int], batch_size: Callable[[int], int], standing_delay: float
    ) -> None:
        self.stages = {stage: StageQueue(limit) for stage, limit in limits.items()}
        self._times = {stage: BatchTimes() for stage in limits}
        self._size = batch_size
        self._standing_delay = standing_delay
        self._high_share = MovingAverage()
        # When the batches that run are expected to be done, by who runs them.
        self._busy: dict[Hashable, float] = {}
        self._above_since: dict[Stage, float] = {}
        self._refused_at = float("-inf")
        self._shedding = False

    def compute_seconds(self, stage: Stage, count: int) -> float:
        """Expected seconds in the network for so many images of one stage."""
        seconds = 0.0
        while count > 0:
            size = self.batch(count)
            seconds += count // size * self._times[stage].expected(size)
            count %= size
        return seconds

    def backlog(self) -> float:
        """Expected seconds until all images that wait are done."""
        return (
            sum(self.compute_seconds(stage, queue.depth()) for stage, queue in self.stages.items())
            / self.workers
        )

    def batch(self, waiting: int) -> int:
        """The size of the next batch."""
        return max(1, min(waiting, self._size(waiting)))

    def standing(self, now: float, intervals: int = 1) -> bool:
        """Whether images have waited longer than `standing_delay` for so many intervals of time."""
        above = self._above_since.values()
        return self._shedding or any(now - since >= intervals * INTERVAL for since in above)

    def refusal(self, stage: Stage, now: float, expires: float, before: float) -> Refusal | None:
        """Why one more image is refused, which would be decoded in `before` seconds; None if it is admitted."""
        return self.estimate(stage, now, before).refusal(expires - now)

    def estimate(self, stage: Stage, now: float, before: float = 0.0) -> AdmissionEstimate:
        """How long one more image would take, which is decoded in `before` seconds, and whether it must be refused."""
        if self._idle():
            # An idle network admits every image: a wrong expectation is corrected only by running one.
            return AdmissionEstimate()
        queue = self.stages[stage]
        start = self._start(stage, now, before)
        finish = start + self._times[stage].expected(self.batch(queue.depth() + 1))
        reason = "full" if queue.depth() >= queue.limit else ""
        if not reason and self._too_long(stage, start, now):
            # Processes that forward images here refuse them by this estimate, so it counts as a refusal.
            reason, self._refused_at = "standing", now
        return AdmissionEstimate(finish - now, reason)

    def take(self, now: float, worker: Hashable = None) -> Dequeued | None:
        """Take out the oldest images of a stage, HIGH before LOW; None if all queues are empty."""
        dropped: dict[str, list[Ticket]] = {}
        for stage in ORDER:
            self.stages[stage].drop_unwanted(now)
            self._drop_late(stage, now, dropped)
            if not self.stages[stage].ready:
                self._watch(stage, None, now)
        for stage in ORDER:
            if waiting := len(self.stages[stage].ready):
                batch = self.stages[stage].pop(self.batch(waiting))
                self._watch(stage, batch[-1], now)
                self._trim(stage, now, dropped)
                self._busy[worker] = now + self._times[stage].expected(len(batch))
                return Dequeued(stage, batch, dropped)
        return Dequeued(Stage.LOW, [], dropped) if dropped else None

    def finish(self, stage: Stage, count: int, seconds: float | None, worker: Hashable = None) -> None:
        """The batch that this worker took is done; without `seconds` it failed."""
        self._busy.pop(worker, None)
        if seconds is not None:
            self._times[stage].add(count, seconds)
            self._high_share.add(float(stage is Stage.HIGH))

    def clear(self) -> list[Ticket]:
        """Take out everything that is ready."""
        return [ticket for queue in self.stages.values() for ticket in queue.clear()]

    def _idle(self) -> bool:
        return len(self._busy) < self.workers and not any(queue.depth() for queue in self.stages.values())

    def _start(self, stage: Stage, now: float, before: float) -> float:
        """When the batch of one more image is expected to begin."""
        running = 0.0 if len(self._busy) < self.workers else max(0.0, min(self._busy.values()) - now)
        depth = self.stages[stage].depth()
        # What remains after full batches goes with this image.
        ahead = self.compute_seconds(stage, depth - depth % self._largest(stage))
        if stage is Stage.LOW:
            ahead += self.compute_seconds(Stage.HIGH, self.stages[Stage.HIGH].depth())
            ahead /= max(LEAST_LOW_SHARE, 1 - self._high_share.value)
        return now + max(before, running + ahead / self.workers)

    def _largest(self, stage: Stage) -> int:
        """The images of one full batch."""
        return self.batch(self.stages[stage].limit)

    def _too_long(self, stage: Stage, start: float, now: float) -> bool:
        """Whether an image would wait too long behind a standing queue; a batch may always wait."""
        if not self._standing_delay or self.stages[stage].depth() < self.workers * self._largest(stage):
            return False
        return self.standing(now, intervals=2) and start - now > self._standing_delay

    def _drop_late(self, stage: Stage, now: float, dropped: dict[str, list[Ticket]]) -> None:
        """Drop images that would be done too late; if all would be, keep one, so that the network is not idle."""
        queue = self.stages[stage]
        while ready := len(queue.ready):
            done = now + self._times[stage].expected(self.batch(ready))
            late = [ticket for ticket in queue.ready if ticket.expires < done]
            if len(late) == ready:
                late.remove(max(late, key=lambda ticket: ticket.expires))
            if not late:
                return
            for ticket in late:
                del queue.ready[ticket]
            dropped.setdefault("late", []).extend(late)

    def _watch(self, stage: Stage, newest: Ticket | None, now: float) -> None:
        """Update whether the queue stands, by the newest image of a batch, which has waited least (None: no batch)."""
        if not self._standing_delay or newest is None or now - newest.since <= self._standing_delay:
            self._above_since.pop(stage, None)
        else:
            self._above_since.setdefault(stage, now)
        # A queue that refusals keep short is no longer standing only once nothing had to be refused for a while.
        if self._shedding:
            self._shedding = now - self._refused_at < 2 * INTERVAL
        elif self.standing(now, intervals=2):
            self._shedding, self._refused_at = True, now

    def _trim(self, stage: Stage, now: float, dropped: dict[str, list[Ticket]]) -> None:
        """Drop the newest images of a standing queue, until those left take no longer than the standing delay."""
        queue = self.stages[stage]
        while self._shedding and len(queue.ready) > self._largest(stage):
            if self.compute_seconds(stage, len(queue.ready)) <= self._standing_delay * self.workers:
                return
            ticket, _ = queue.ready.popitem()
            dropped.setdefault("standing", []).append(ticket)
