"""The batcher: queues from which workers take images and run them through their networks."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from overtone.gpu_server.answer import Stage, Timings
from overtone.gpu_server.engine.inference import Inference, Network, Ticket
from overtone.gpu_server.engine.queues import Outlook, Queues, Refusal, Taken
from overtone.gpu_server.engine.worker import Batch, Worker
from overtone.gpu_server.errors import (
    ServiceError,
    Stopping,
    network_down,
    network_failed,
    overloaded,
    too_late,
)
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.system.threads import tell
from overtone.gpu_server.telemetry.metrics import Metrics

log = logging.getLogger(__name__)


class Batcher:
    """Forms batches of the images that wait, for one network or several.

    Batches are formed in the workers' threads, so no network ever waits for the event loop; the event loop is told
    the results of a whole batch at once. Queues are changed under the lock of `_wake`, futures in the event loop.

    Args:
        networks: what runs a batch, one for each device.
        metrics: where to count.
        settings: for the limits of the queues.
        on_health: called when `failure` has changed.
        clock: seconds, for measuring.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        metrics: Metrics,
        settings: Settings,
        on_health: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        limits = {Stage.LOW: settings.low_queue, Stage.HIGH: settings.high_queue}
        self.failure: str | None = None
        self._queues = Queues(
            limits, lambda waiting: networks[0].batch_size(waiting), settings.standing_delay
        )
        self._metrics = metrics
        self._max_wait = settings.max_wait_ms / 1000
        self._probe_interval = settings.probe_interval
        self._on_health = on_health
        self._clock = clock
        self._wake = threading.Condition()
        self._stop = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._workers = [
            Worker(network, self, clock, self._stop, settings.probe_interval, f"overtone-network-{number}")
            for number, network in enumerate(networks)
        ]
        self._working = set(self._workers)
        self._queues.workers = len(self._workers)

    async def start(self) -> None:
        """Warm the networks, then run batches until stopped."""
        self._loop = asyncio.get_running_loop()
        self._warm = {worker: self._loop.create_future() for worker in self._workers}
        for worker in self._workers:
            worker.thread.start()
        await asyncio.gather(*self._warm.values())

    async def stop(self) -> None:
        """Refuse what still waits and stop the workers."""
        self._stop.set()
        with self._wake:
            self._wake.notify_all()
            running = [ticket for worker in self._workers for ticket in worker.running]
        _fail(running, Stopping)
        self._refuse_waiting()
        for worker in self._workers:
            if worker.thread.ident is not None:
                await asyncio.to_thread(worker.thread.join)

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
            raise network_down(self._probe_interval)

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

    def next_batch(self, worker: Worker) -> Batch | None:
        """For a worker: the next images to run, as soon as there are any; None once the batcher is stopped."""
        with self._wake:
            while not self._stop.is_set():
                if taken := self._queues.take(time.monotonic(), worker):  # which is event loop time
                    if taken.dropped:
                        tell(self._loop, self._drop, taken)
                    if taken.batch:
                        worker.running = taken.batch
                        return Batch(taken.stage, taken.batch, self._clock())
                self._wake.wait()
                if self._max_wait:
                    self._wake.wait_for(self._stop.is_set, self._max_wait)
        return None

    def done(
        self, worker: Worker, batch: Batch, rows: NDArray[np.float32], finite: NDArray[np.bool_]
    ) -> None:
        """For a worker: a batch has its rows, of which some may not be finite."""
        self._finish(worker, batch, batch.compute)
        tell(self._loop, self._deliver, batch, rows, finite)

    def failed(self, worker: Worker, batch: Batch, error: Exception) -> None:
        """For a worker: a batch has failed."""
        self._finish(worker, batch, None)
        tell(self._loop, _fail, batch.tickets, partial(_told, error))

    def dropped(self, worker: Worker) -> None:
        """For a worker: something is wrong with what waits."""
        tell(self._loop, self._refuse_waiting)

    def down(self, worker: Worker, reason: str) -> None:
        """For a worker: its network fails; while all do, `check` refuses everything."""
        with self._wake:
            self._working.discard(worker)
            self._queues.workers = max(1, len(self._working))
            left = len(self._working)
        if left:
            log.error("%s; %d others go on", reason, left)
        else:
            log.error("%s; every image is refused until it works again", reason)
            tell(self._loop, self._fail_all, reason)

    def up(self, worker: Worker) -> None:
        """For a worker: its network works again."""
        with self._wake:
            self._working.add(worker)
            self._queues.workers = len(self._working)
        tell(self._loop, self._set_failure, None)

    def warmed(self, worker: Worker, problem: Exception | None) -> None:
        """For a worker: its network is warm, or cannot be."""
        tell(self._loop, _settle, self._warm[worker], problem)

    def ended(self, worker: Worker) -> None:
        """For a worker: it ends though nobody has stopped it."""
        self.down(worker, "the batching loop has ended")

    def _fail_all(self, reason: str) -> None:
        self._set_failure(reason)
        self._refuse_waiting()

    def _set_failure(self, reason: str | None) -> None:
        if reason != self.failure:
            self.failure = reason
            self._on_health()

    def _drop(self, taken: Taken) -> None:
        for reason, tickets in taken.dropped.items():
            for ticket in tickets:
                self._metrics.of(self._metrics.shed, ticket.stage, reason).inc()
                ticket.fail(too_late() if reason == "late" else overloaded(self.backlog()))

    def _finish(self, worker: Worker, batch: Batch, seconds: float | None) -> None:
        with self._wake:
            worker.running = []
            self._queues.finish(batch.stage, len(batch.tickets), seconds, worker)

    def _deliver(self, batch: Batch, rows: NDArray[np.float32], finite: NDArray[np.bool_]) -> None:
        stage, metrics = batch.stage, self._metrics
        waited = metrics.of(metrics.queue_seconds, stage)
        metrics.of(metrics.compute_seconds, stage).observe(batch.compute)
        metrics.of(metrics.batch_size, stage).observe(len(rows))
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


def _settle(future: asyncio.Future[None], problem: Exception | None) -> None:
    if future.done():  # nobody waits for it any more
        return
    if problem is None:
        future.set_result(None)
    else:
        future.set_exception(problem)


def _told(error: Exception) -> ServiceError:
    """What clients are told of a batch that failed; a network may say itself that it is unavailable."""
    return error if isinstance(error, ServiceError) else network_failed()


def _fail(tickets: Iterable[Ticket], error: Callable[[], ServiceError]) -> None:
    for ticket in tickets:
        ticket.fail(error())
