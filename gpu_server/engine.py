"""Where requests meet: the event loop forms batches, one worker thread runs them.

Two bounded queues, high before low, because the bytes of high are already spent. A full queue refuses at
once; whoever has expired or gone is dropped before any work is done for it; an idle device never waits.
"""

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from overtone.gpu_server.answer import Stage, Timings
from overtone.gpu_server.errors import Expired, NetworkFailed, Overloaded, Unavailable
from overtone.gpu_server.metrics import Metrics

log = logging.getLogger(__name__)

ORDER = (Stage.HIGH, Stage.LOW)
# How much the newest batch counts in the estimate of the time one image takes.
NEWEST = 0.2


@dataclass(frozen=True, slots=True)
class Bands:
    """One image as the network wants it: per band quantised values int16[C, h, w] and steps float32[C].

    `low_probabilities` float32[K] is what the low network has said of it, if that is known.
    """

    low: NDArray[np.int16]
    low_steps: NDArray[np.float32]
    high: NDArray[np.int16] | None = None
    high_steps: NDArray[np.float32] | None = None
    low_probabilities: NDArray[np.float32] | None = None


class Network(Protocol):
    """What the engine asks of a network; all but `batch_size` is called in the worker thread."""

    def batch_size(self, waiting: int) -> int:
        """How many of the waiting images the next batch should hold, 1 to `waiting`."""

    def warm(self) -> None:
        """Inference every batch size once."""

    def run(self, stage: Stage, images: Sequence[Bands]) -> NDArray[np.float32]:
        """Class probabilities float32[N, K]."""


@dataclass(frozen=True, slots=True)
class Inference:
    """What became of one image: class probabilities float32[K], and how long it took."""

    probabilities: NDArray[np.float32]
    timings: Timings


@dataclass(eq=False, slots=True)
class _Ticket:
    future: asyncio.Future[Inference]
    arrived: float
    expires: float
    bands: Bands


@dataclass(slots=True)
class _Queue:
    limit: int
    preparing: int = 0
    ready: OrderedDict[_Ticket, None] = field(default_factory=OrderedDict)

    def depth(self) -> int:
        return self.preparing + len(self.ready)


class Engine:
    """Batches images of many requests; use it from one event loop only.

    Args:
        network: what runs a batch.
        metrics: where to count.
        low_queue: how many images may wait for the low network.
        high_queue: how many for the high one.
        decoders: threads that prepare images for a batch.
        max_wait: seconds an idle device waits for company.
        brownout: seconds of backlog above which `overloaded` says so.
        clock: for measuring; deadlines are in event loop time.
    """

    def __init__(
        self,
        network: Network,
        metrics: Metrics,
        *,
        low_queue: int = 256,
        high_queue: int = 256,
        decoders: int = 2,
        max_wait: float = 0.0,
        brownout: float = 1.0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._network = network
        self._metrics = metrics
        self._queues = {Stage.LOW: _Queue(low_queue), Stage.HIGH: _Queue(high_queue)}
        self._seconds_per_image = {Stage.LOW: 0.0, Stage.HIGH: 0.0}
        self._max_wait = max_wait
        self._brownout = brownout
        self._clock = clock
        self._wake = asyncio.Event()
        self._active = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._open = False
        self._pump_task: asyncio.Task[None] | None = None
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="overtone-network")
        self._decoders = ThreadPoolExecutor(decoders, thread_name_prefix="overtone-decode")
        for stage, queue in self._queues.items():
            metrics.queue_depth.labels(stage).set_function(queue.depth)

    async def start(self) -> None:
        """Warm the network and begin to take images."""
        await asyncio.get_running_loop().run_in_executor(self._worker, self._network.warm)
        self._pump_task = asyncio.create_task(self._pump(), name="overtone-engine")
        self._open = True

    async def stop(self, grace: float = 0.0) -> None:
        """Take nothing new, give what waits `grace` seconds, then stop the threads."""
        self._open = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._idle.wait()
        if self._pump_task is not None:
            self._pump_task.cancel()
            await asyncio.gather(self._pump_task, return_exceptions=True)
        self._refuse_all()
        await asyncio.to_thread(self._decoders.shutdown)
        await asyncio.to_thread(self._worker.shutdown)

    def backlog(self) -> float:
        """Seconds the network needs for all that waits, as far as it can be told from the last batches."""
        return sum(queue.depth() * self._seconds_per_image[stage] for stage, queue in self._queues.items())

    @property
    def overloaded(self) -> bool:
        """Whether it is better to answer now than to ask for more."""
        return self.backlog() > self._brownout

    async def submit(self, stage: Stage, prepare: Callable[[], Bands], expires: float) -> Inference:
        """Prepare an image in a decoder thread, queue it, and wait for its class probabilities.

        Args:
            stage: LOW or HIGH.
            prepare: makes the image; what it raises is raised here.
            expires: event loop time after which nobody wants the answer.

        Raises:
            Overloaded: the queue is full.
            Expired: it is too late.
            NetworkFailed: the network raised.
            Unavailable: the engine is not running.
        """
        queue = self._admit(stage, expires)
        arrived = self._clock()
        ticket: _Ticket | None = None
        self._count(+1)
        try:
            async with asyncio.timeout_at(expires):
                bands = await self._prepare(queue, prepare)
                ticket = _Ticket(asyncio.get_running_loop().create_future(), arrived, expires, bands)
                queue.ready[ticket] = None
                self._wake.set()
                return await ticket.future
        except TimeoutError:
            self._metrics.shed.labels(stage, "expired").inc()
            raise _too_late() from None
        except asyncio.CancelledError:
            self._metrics.shed.labels(stage, "departed").inc()
            raise
        finally:
            if ticket is not None:
                queue.ready.pop(ticket, None)
            self._count(-1)

    def _admit(self, stage: Stage, expires: float) -> _Queue:
        queue = self._queues[stage]
        if not self._open:
            raise _stopping()
        if queue.depth() >= queue.limit:
            self._metrics.shed.labels(stage, "full").inc()
            raise Overloaded(
                "the server is full; try again later", retry_after=min(max(self.backlog(), 0.1), 30.0)
            )
        if expires <= asyncio.get_running_loop().time():
            self._metrics.shed.labels(stage, "expired").inc()
            raise _too_late()
        return queue

    async def _prepare(self, queue: _Queue, prepare: Callable[[], Bands]) -> Bands:
        queue.preparing += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._decoders, prepare)
        finally:
            queue.preparing -= 1

    async def _pump(self) -> None:
        while True:
            formed = self._form()
            if formed is not None:
                await self._run(*formed)
                continue
            self._wake.clear()
            await self._wake.wait()
            if self._max_wait:
                await asyncio.sleep(self._max_wait)

    def _form(self) -> tuple[Stage, list[_Ticket]] | None:
        """The next batch: the oldest images of the first queue that holds any still wanted."""
        now = asyncio.get_running_loop().time()
        for stage in ORDER:
            ready = self._queues[stage].ready
            for ticket in [t for t in ready if t.expires <= now or t.future.done()]:
                # Its own timeout tells it; here it only must not be computed.
                del ready[ticket]
            if ready:
                count = max(1, min(len(ready), self._network.batch_size(len(ready))))
                return stage, [ready.popitem(last=False)[0] for _ in range(count)]
        return None

    async def _run(self, stage: Stage, batch: list[_Ticket]) -> None:
        began = self._clock()
        images = [ticket.bands for ticket in batch]
        try:
            loop = asyncio.get_running_loop()
            rows = await loop.run_in_executor(self._worker, self._network.run, stage, images)
            if len(rows) != len(batch):
                raise ValueError(f"{len(rows)} rows for {len(batch)} images")
        except asyncio.CancelledError:
            _fail(batch, _stopping)
            raise
        except Exception:
            log.exception("a batch of %d failed in the %s network", len(batch), stage)
            _fail(batch, _network_failed)
            return
        self._deliver(stage, batch, rows, began)

    def _deliver(self, stage: Stage, batch: list[_Ticket], rows: NDArray[np.float32], began: float) -> None:
        compute = self._clock() - began
        pace = compute / len(batch)
        known = self._seconds_per_image[stage]
        self._seconds_per_image[stage] = pace if not known else known + NEWEST * (pace - known)
        self._metrics.compute_seconds.labels(stage).observe(compute)
        self._metrics.batch_size.labels(stage).observe(len(batch))
        for ticket, row in zip(batch, rows, strict=True):
            self._metrics.queue_seconds.labels(stage).observe(began - ticket.arrived)
            if not np.isfinite(row).all():
                log.error("the %s network gave something that is not a number", stage)
                _fail([ticket], _network_failed)
            elif not ticket.future.done():
                ticket.future.set_result(Inference(row, Timings(began - ticket.arrived, compute)))

    def _count(self, change: int) -> None:
        self._active += change
        if self._active:
            self._idle.clear()
        else:
            self._idle.set()

    def _refuse_all(self) -> None:
        for queue in self._queues.values():
            _fail(list(queue.ready), _stopping)
            queue.ready.clear()


def _fail(batch: list[_Ticket], error: Callable[[], Exception]) -> None:
    """Tell every waiting image; never by cancelling, which would look as if its device had gone."""
    for ticket in batch:
        if not ticket.future.done():
            ticket.future.set_exception(error())


def _stopping() -> Unavailable:
    return Unavailable("the server is not taking images now; try another one", retry_after=1.0)


def _network_failed() -> NetworkFailed:
    return NetworkFailed("the network failed; this image may be tried once more")


def _too_late() -> Expired:
    return Expired("the deadline passed before the answer was there")
