"""The batcher: takes images from two queues and has one worker thread run them through the network."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from overtone.gpu_server.answer import Stage, Timings
from overtone.gpu_server.errors import NetworkFailed, Stopping, Unavailable
from overtone.gpu_server.inference import Inference, Network, StageQueue, Ticket
from overtone.gpu_server.metrics import Metrics
from overtone.gpu_server.moving_average import MovingAverage
from overtone.gpu_server.settings import Settings

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

# High goes first, because the device has already spent its bytes.
ORDER = (Stage.HIGH, Stage.LOW)


class Batcher:
    """Forms batches as long as there are images, and tests the network after a batch has failed.

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
        self.queues = {Stage.LOW: StageQueue(settings.low_queue), Stage.HIGH: StageQueue(settings.high_queue)}
        self.failure: str | None = None
        self._network = network
        self._metrics = metrics
        self._seconds_per_image = {stage: MovingAverage() for stage in self.queues}
        self._max_wait = settings.max_wait_ms / 1000
        self._probe_interval = settings.probe_interval
        self._on_health = on_health
        self._clock = clock
        self._wake = asyncio.Event()
        self._stopped = False
        self._supervisor: asyncio.Task[None] | None = None
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="overtone-network")

    async def start(self) -> None:
        """Warm the network, then run batches until stopped."""
        await self._in_worker(self._network.warm)
        self._supervisor = asyncio.create_task(self._supervise(), name="overtone-batcher")
        self._supervisor.add_done_callback(self._on_supervisor_end)

    async def stop(self) -> None:
        """Refuse what still waits and stop the worker."""
        self._stopped = True
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
        self._refuse_waiting()
        await asyncio.to_thread(self._worker.shutdown)

    def backlog(self) -> float:
        """Estimated seconds that the network needs for all images that wait, those being decoded included."""
        return sum(q.depth() * self._seconds_per_image[stage].value for stage, q in self.queues.items())

    def check(self) -> None:
        """Raise the reason why no image can be run now, if there is one.

        Raises:
            Unavailable: the batcher is stopped, or its network fails.
        """
        if self._stopped:
            raise Stopping
        if self.failure is not None:
            raise Unavailable("the network fails; try another server", retry_after=self._probe_interval)

    def put(self, stage: Stage, ticket: Ticket) -> None:
        """Queue an image; its future gets the result.

        Raises:
            Unavailable: as `check` does.
        """
        self.check()
        self.queues[stage].ready[ticket] = None
        self._wake.set()

    def remove(self, stage: Stage, ticket: Ticket) -> None:
        """Forget an image if it still waits."""
        self.queues[stage].ready.pop(ticket, None)

    async def _supervise(self) -> None:
        """Run the pump. Whenever it ends, test the network, and start the pump again once the test succeeds."""
        while True:
            pump = asyncio.create_task(self._pump(), name="overtone-pump")
            try:
                await asyncio.wait({pump})
            finally:
                pump.cancel()
                (problem,) = await asyncio.gather(pump, return_exceptions=True)
            if problem is not None:
                log.error("the batching loop ended and is started again", exc_info=problem)
                self._refuse_waiting()
            await self._recover()

    def _on_supervisor_end(self, supervisor: asyncio.Task[None]) -> None:
        if not self._stopped:
            log.critical("no more batches are run; restart the server: %r", supervisor)
            self._set_failure("the batching loop has ended")
            self._refuse_waiting()

    async def _recover(self) -> None:
        """Return as soon as the network works; until then `check` refuses everything."""
        while (reason := await self._probe()) is not None:
            if self.failure is None:
                log.error("%s; every image is refused until it works again", reason)
                self._set_failure(reason)
                self._refuse_waiting()
            await asyncio.sleep(self._probe_interval)
        if self.failure is not None:
            log.warning("the network works again")
            self._set_failure(None)

    async def _probe(self) -> str | None:
        """Run an example through both stages; return what is wrong with the network, None if nothing is."""
        try:
            self._network.batch_size(1)
            await self._in_worker(self._run_example)
        except Exception as error:
            log.debug("a probe failed", exc_info=True)
            return f"the network fails ({type(error).__name__})"
        return None

    def _run_example(self) -> None:
        example = self._network.example()
        for stage in self.queues:
            if not np.isfinite(self._network.run(stage, [example])).all():
                raise ArithmeticError(f"the {stage} network returned values that are not numbers")

    def _set_failure(self, reason: str | None) -> None:
        self.failure = reason
        self._on_health()

    async def _pump(self) -> None:
        """Run batch after batch; return when one has failed."""
        while True:
            formed = self._next_batch()
            if formed is not None:
                if not await self._run(*formed):
                    return
                continue
            self._wake.clear()
            await self._wake.wait()
            if self._max_wait:
                await asyncio.sleep(self._max_wait)

    def _next_batch(self) -> tuple[Stage, list[Ticket]] | None:
        """The oldest images of the first queue in which any are still wanted."""
        now = asyncio.get_running_loop().time()
        for stage in ORDER:
            queue = self.queues[stage]
            queue.drop_unwanted(now)
            if waiting := len(queue.ready):
                return stage, queue.pop(max(1, min(waiting, self._network.batch_size(waiting))))
        return None

    async def _run(self, stage: Stage, batch: list[Ticket]) -> bool:
        """Run a batch and deliver its results; return whether any of its images succeeded."""
        began = self._clock()
        try:
            rows = await self._in_worker(self._network.run, stage, [ticket.known for ticket in batch])
            if len(rows) != len(batch):
                raise ValueError(f"{len(rows)} rows for {len(batch)} images")
            return self._deliver(stage, batch, rows, began)
        except asyncio.CancelledError:
            _fail(batch, Stopping)
            raise
        except Exception:
            log.exception("a batch of %d failed in the %s network", len(batch), stage)
            _fail(batch, _network_failed)
            return False

    def _deliver(self, stage: Stage, batch: list[Ticket], rows: NDArray[np.float32], began: float) -> bool:
        compute = self._clock() - began
        self._seconds_per_image[stage].add(compute / len(batch))
        self._metrics.compute_seconds.labels(stage).observe(compute)
        self._metrics.batch_size.labels(stage).observe(len(batch))
        finite = [bool(np.isfinite(row).all()) for row in rows]
        for ticket, row, usable in zip(batch, rows, finite, strict=True):
            self._metrics.queue_seconds.labels(stage).observe(began - ticket.arrived)
            if not usable:
                log.error("the %s network returned values that are not numbers", stage)
                ticket.fail(_network_failed())
            elif not ticket.future.done():
                ticket.future.set_result(
                    Inference(row, ticket.known, Timings(began - ticket.arrived, compute))
                )
        return any(finite)

    async def _in_worker(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._worker, lambda: function(*args, **kwargs))

    def _refuse_waiting(self) -> None:
        for queue in self.queues.values():
            _fail(queue.clear(), Stopping)


def _network_failed() -> NetworkFailed:
    return NetworkFailed("the network failed; this image may be tried once more")


def _fail(tickets: Iterable[Ticket], error: Callable[[], Exception]) -> None:
    for ticket in tickets:
        ticket.fail(error())
