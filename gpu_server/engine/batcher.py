"""The batcher: queues of decoded images, and the workers that run batches of them through networks.

It is the engine's `Runner` in a process that has networks of its own.
"""

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
from overtone.gpu_server.engine.queues import AdmissionEstimate, Dequeued, Queues, Refusal
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
from overtone.gpu_server.system.threads import call_in_loop
from overtone.gpu_server.telemetry.metrics import Metrics

log = logging.getLogger(__name__)


class Batcher:
    """Forms batches of the images that wait, for one network or several.

    Batches are formed in the workers' threads, so no network ever waits for the event loop; the event loop is told
    the results of a whole batch at once. Queues are changed under the lock of `_wake`, futures in the event loop.

    Args:
        networks: one for each worker.
        metrics: where to count.
        settings: for the limits of the queues.
        on_health: called when `failure` has changed.
        clock: seconds, for measuring.

    Attributes:
        failure: why no image can be run; None while a network works.
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
        """Whether a standing queue has formed: images have waited longer than `standing_delay` for some time."""
        return self._queues.standing(time.monotonic())

    def depth(self, stage: Stage) -> int:
        """How many images wait for a stage."""
        return self._queues.stages[stage].depth()

    def refusal(self, stage: Stage, expires: float, before: float) -> Refusal | None:
        """Why one more image is refused, which would be decoded in `before` seconds; None if it is admitted."""
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

    def estimate(self, stage: Stage) -> AdmissionEstimate:
        """How long one more image would take, and whether it would be refused at any deadline."""
        with self._wake:
            return self._queues.estimate(stage, time.monotonic())

    def expect(self, ticket: Ticket) -> None:
        """Count an image as waiting while it is decoded."""
        with self._wake:
            self._queues.stages[ticket.stage].decoding[ticket] = None

    def put(self, ticket: Ticket, *, expected: bool = True) -> None:
        """Queue a decoded image, from any thread; no effect if it was `expected` and has been removed meanwhile.

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
        """See `BatchScheduler`: wait for images and take a batch of them; None once the batcher is stopped."""
        with self._wake:
            while not self._stop.is_set():
                now = time.monotonic()  # event loop time, as in tickets
                if taken := self._queues.take(now, worker):
                    if taken.dropped:
                        call_in_loop(self._loop, self._drop, taken)
                    if taken.batch:
                        worker.running = taken.batch
                        return Batch(taken.stage, taken.batch, self._clock())
                self._wake.wait()
                if self._max_wait:
                    self._wake.wait_for(self._stop.is_set, self._max_wait)
        return None

    def batch_done(
        self, worker: Worker, batch: Batch, rows: NDArray[np.float32], finite: NDArray[np.bool_]
    ) -> None:
        """See `BatchScheduler`: give every image its row, or an error if the row is not finite."""
        self._finish(worker, batch, batch.compute)
        call_in_loop(self._loop, self._deliver, batch, rows, finite)

    def batch_failed(self, worker: Worker, batch: Batch, error: Exception) -> None:
        """See `BatchScheduler`: fail all images of the batch."""
        self._finish(worker, batch, None)
        call_in_loop(self._loop, _fail, batch.tickets, partial(_for_clients, error))

    def scheduling_failed(self, worker: Worker) -> None:
        """See `BatchScheduler`: refuse all images that wait."""
        call_in_loop(self._loop, self._refuse_waiting)

    def network_down(self, worker: Worker, reason: str) -> None:
        """See `BatchScheduler`: while the networks of all workers are down, `check` refuses every image."""
        with self._wake:
            self._working.discard(worker)
            self._queues.workers = max(1, len(self._working))
            left = len(self._working)
        if left:
            log.error("%s; %d others go on", reason, left)
        else:
            log.error("%s; every image is refused until it works again", reason)
            call_in_loop(self._loop, self._fail_all, reason)

    def network_up(self, worker: Worker) -> None:
        """See `BatchScheduler`: images are run again."""
        with self._wake:
            self._working.add(worker)
            self._queues.workers = len(self._working)
        call_in_loop(self._loop, self._set_failure, None)

    def network_warmed(self, worker: Worker, error: Exception | None) -> None:
        """See `BatchScheduler`: `start` returns, or raises the error."""
        call_in_loop(self._loop, _settle, self._warm[worker], error)

    def worker_ended(self, worker: Worker) -> None:
        """See `BatchScheduler`: its network counts as down."""
        self.network_down(worker, "the batching loop has ended")

    def _fail_all(self, reason: str) -> None:
        self._set_failure(reason)
        self._refuse_waiting()

    def _set_failure(self, reason: str | None) -> None:
        if reason != self.failure:
            self.failure = reason
            self._on_health()

    def _drop(self, taken: Dequeued) -> None:
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


def _settle(future: asyncio.Future[None], error: Exception | None) -> None:
    if future.done():  # nobody waits for it any more
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _for_clients(error: Exception) -> ServiceError:
    """The error that clients get for a failed batch: the network's own if it is meant for them, else a general one."""
    return error if isinstance(error, ServiceError) else network_failed()


def _fail(tickets: Iterable[Ticket], error: Callable[[], ServiceError]) -> None:
    for ticket in tickets:
        ticket.fail(error())
