"""The batcher: one worker thread that takes images from its queues and runs them through the network."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overtone.gpu_server.answer import Stage, Timings
from overtone.gpu_server.errors import Expired, NetworkFailed, Overloaded, ServiceError, Stopping, Unavailable
from overtone.gpu_server.inference import Inference, Network, Ticket
from overtone.gpu_server.metrics import Children, Metrics
from overtone.gpu_server.queues import Outlook, Queues, Refusal, Taken
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.threads import tell

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Batch:
    """Images that go through the network together; `began` and `compute` are seconds by the engine's clock."""

    stage: Stage
    tickets: list[Ticket]
    began: float
    compute: float = 0.0


class Batcher:
    """Forms batches as long as there are images, and tests the network after a batch has failed.

    Batches are formed in the worker thread, so the network never waits for the event loop; the event loop is told
    the results of a whole batch at once. Queues are changed under the lock of `_wake`, futures in the event loop.

    The arguments are those of the `Engine`.
    """

    def __init__(
        self,
        network: Network,
        metrics: Metrics,
        settings: Settings,
        on_health: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        limits = {Stage.LOW: settings.low_queue, Stage.HIGH: settings.high_queue}
        self.failure: str | None = None
        self._network = network
        self._queues = Queues(limits, lambda waiting: network.batch_size(waiting), settings.standing_delay)
        self._shed = Children(metrics.shed)
        self._max_wait = settings.max_wait_ms / 1000
        self._probe_interval = settings.probe_interval
        self._on_health = on_health
        self._clock = clock
        self._compute_seconds = Children(metrics.compute_seconds)
        self._queue_seconds = Children(metrics.queue_seconds)
        self._batch_sizes = Children(metrics.batch_size)
        self._wake = threading.Condition()
        self._stop = threading.Event()
        self._running: list[Ticket] = []
        self._loop: asyncio.AbstractEventLoop
        self._worker = threading.Thread(target=self._work, name="overtone-network", daemon=True)

    async def start(self) -> None:
        """Warm the network, then run batches until stopped."""
        self._loop = asyncio.get_running_loop()
        self._warmed: asyncio.Future[None] = self._loop.create_future()
        self._worker.start()
        await self._warmed

    async def stop(self) -> None:
        """Refuse what still waits and stop the worker."""
        self._stop.set()
        with self._wake:
            self._wake.notify()
            running = list(self._running)
        _fail(running, Stopping)
        self._refuse_waiting()
        if self._worker.ident is not None:
            await asyncio.to_thread(self._worker.join)

    def backlog(self) -> float:
        """Estimated seconds that the network needs for all images that wait, those being decoded included."""
        with self._wake:
            return self._queues.backlog()

    @property
    def standing(self) -> bool:
        """Whether images have waited too long for some time."""
        return self._queues.standing(time.monotonic())

    def depth(self, stage: Stage) -> int:
        """How many images wait for a stage."""
        return self._queues.stages[stage].depth()

    def refusal(self, stage: Stage, expires: float, before: float) -> Refusal | None:
        """Why one more image is refused, if it is; it will be decoded in `before` seconds."""
        with self._wake:
            return self._queues.refusal(stage, time.monotonic(), expires, before)

    def check(self) -> None:
        """Raise the reason why no image can be run now, if there is one.

        Raises:
            Unavailable: the batcher is stopped, or its network fails.
        """
        if self._stop.is_set():
            raise Stopping
        if self.failure is not None:
            raise Unavailable("the network fails; try another server", retry_after=self._probe_interval)

    def outlook(self, stage: Stage) -> Outlook:
        """What one more image would have to expect."""
        with self._wake:
            return self._queues.outlook(stage, time.monotonic())

    def expect(self, ticket: Ticket) -> None:
        """Count an image as waiting while it is decoded."""
        with self._wake:
            self._queues.stages[ticket.stage].decoding[ticket] = None

    def put(self, ticket: Ticket, *, expected: bool = True) -> None:
        """Queue a decoded image, from any thread; if it was `expected`, it may have been removed meanwhile.

        Raises:
            Unavailable: as `check` does.
        """
        queue = self._queues.stages[ticket.stage]
        with self._wake:
            self.check()  # under the lock, so that nothing is queued after everything was refused
            if expected and ticket not in queue.decoding:
                return
            queue.decoding.pop(ticket, None)
            queue.ready[ticket] = None
            self._wake.notify()

    def remove(self, ticket: Ticket) -> None:
        """Forget an image if it still waits."""
        with self._wake:
            self._queues.stages[ticket.stage].remove(ticket)

    def _work(self) -> None:
        """The worker thread: warm, then run batches; whenever one fails, wait until the network works again."""
        if not self._warm():
            return
        try:
            while not self._stop.is_set():
                if not self._run_batches():
                    self._recover()
        finally:
            if not self._stop.is_set():
                log.critical("no more batches are run; restart the server")
                tell(self._loop, self._fail_all, "the batching loop has ended")

    def _warm(self) -> bool:
        problem: Exception | None = None
        try:
            self._network.warm()
        except Exception as error:
            problem = error
        tell(self._loop, self._end_warming, problem)
        return problem is None

    def _end_warming(self, problem: Exception | None) -> None:
        if self._warmed.done():  # nobody waits for it any more
            return
        if problem is None:
            self._warmed.set_result(None)
        else:
            self._warmed.set_exception(problem)

    def _run_batches(self) -> bool:
        """Run batches as long as they succeed; return whether that ended because the batcher was stopped."""
        try:
            while (batch := self._next_batch()) is not None:
                succeeded = self._run(batch)
                # Otherwise its images would be held until the next batch is there.
                del batch
                if not succeeded:
                    return False
            return True
        except Exception:
            log.exception("the batching loop ended and is started again")
            tell(self._loop, self._refuse_waiting)
            return False

    def _recover(self) -> None:
        """Return as soon as the network works, or the batcher stops; until then `check` refuses everything."""
        refusing = False
        while not self._stop.is_set() and (reason := self._probe()) is not None:
            if not refusing:
                refusing = True
                log.error("%s; every image is refused until it works again", reason)
                tell(self._loop, self._fail_all, reason)
            self._stop.wait(self._probe_interval)
        if refusing:
            log.warning("the network works again")
            tell(self._loop, self._set_failure, None)

    def _probe(self) -> str | None:
        """Run an example through both stages; return what is wrong with the network, None if nothing is."""
        try:
            self._network.batch_size(1)
            example = self._network.example()
            for stage in self._queues.stages:
                if not np.isfinite(self._network.run(stage, [example])).all():
                    raise ArithmeticError(f"the {stage} network returned values that are not numbers")
        except Exception as error:
            log.debug("a probe failed", exc_info=True)
            return f"the network fails ({type(error).__name__})"
        return None

    def _fail_all(self, reason: str) -> None:
        self._set_failure(reason)
        self._refuse_waiting()

    def _set_failure(self, reason: str | None) -> None:
        self.failure = reason
        self._on_health()

    def _next_batch(self) -> _Batch | None:
        """The next images to run, as soon as there are any; None once the batcher is stopped."""
        with self._wake:
            while not self._stop.is_set():
                if taken := self._queues.take(time.monotonic()):  # which is event loop time
                    if taken.dropped:
                        tell(self._loop, self._drop, taken)
                    if taken.batch:
                        self._running = taken.batch
                        return _Batch(taken.stage, taken.batch, self._clock())
                self._wake.wait()
                if self._max_wait:
                    self._wake.wait_for(self._stop.is_set, self._max_wait)
        return None

    def _drop(self, taken: Taken) -> None:
        for reason, tickets in taken.dropped.items():
            for ticket in tickets:
                self._shed[ticket.stage, reason].inc()
                ticket.fail(too_late() if reason == "late" else overloaded(self.backlog()))

    def _run(self, batch: _Batch) -> bool:
        """Run a batch and have its results delivered; return whether any of its images succeeded."""
        count = len(batch.tickets)
        try:
            rows = self._network.run(batch.stage, [ticket.image for ticket in batch.tickets])
            if len(rows) != count:
                raise ValueError(f"{len(rows)} rows for {count} images")
            finite = np.asarray(np.isfinite(rows).all(axis=1))
        except Exception:
            log.exception("a batch of %d failed in the %s network", count, batch.stage)
            self._finish(batch, None)
            tell(self._loop, _fail, batch.tickets, network_failed)
            return False
        batch.compute = self._clock() - batch.began
        self._finish(batch, batch.compute)
        tell(self._loop, self._deliver, batch, rows, finite)
        return bool(finite.any())

    def _finish(self, batch: _Batch, seconds: float | None) -> None:
        with self._wake:
            self._running = []
            self._queues.finish(batch.stage, len(batch.tickets), seconds)

    def _deliver(self, batch: _Batch, rows: NDArray[np.float32], finite: NDArray[np.bool_]) -> None:
        stage, waited = batch.stage, self._queue_seconds[batch.stage,]
        self._compute_seconds[stage,].observe(batch.compute)
        self._batch_sizes[stage,].observe(len(rows))
        for ticket, row, usable in zip(batch.tickets, rows, finite.tolist(), strict=True):
            queued = batch.began - ticket.arrived
            waited.observe(queued)
            if not usable:
                log.error("the %s network returned values that are not numbers", stage)
                ticket.fail(network_failed())
            else:
                ticket.succeed(Inference(row, ticket.image, Timings(queued, batch.compute)))

    def _refuse_waiting(self) -> None:
        with self._wake:
            waiting = self._queues.clear()
        _fail(waiting, Stopping)


def too_late() -> Expired:
    """The error of an image whose deadline has passed, or will have before it is done."""
    return Expired("the deadline passed before the answer was there")


def overloaded(wait: float) -> Overloaded:
    """The error of an image that is refused because there are too many; `wait` until that has changed."""
    return Overloaded("the server is full; try again later", retry_after=min(max(wait, 0.1), 30.0))


def network_failed() -> NetworkFailed:
    """The error of the images of a batch that failed."""
    return NetworkFailed("the network failed; this image may be tried once more")


def _fail(tickets: Iterable[Ticket], error: Callable[[], ServiceError]) -> None:
    for ticket in tickets:
        ticket.fail(error())
