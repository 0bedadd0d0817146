"""The engine: what every image goes through, from admission over decoding and batching to its result.

A full queue refuses at once. Images whose client has disconnected or whose deadline has passed are dropped before the
network runs them. An idle network never waits.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable

from overtone.gpu_server.answer import Stage
from overtone.gpu_server.batcher import Batcher
from overtone.gpu_server.decoding import DecodeLane, Source
from overtone.gpu_server.errors import Expired, Overloaded, Stopping
from overtone.gpu_server.inference import Inference, Network, Prepare, StageQueue, Ticket
from overtone.gpu_server.known import Known
from overtone.gpu_server.metrics import Metrics
from overtone.gpu_server.settings import Settings

__all__ = ["Engine", "Inference", "Known", "Network", "Prepare", "Source"]


class Engine:
    """Runs the images of many requests; use it from one event loop only.

    Args:
        network: what runs a batch.
        metrics: where to count.
        settings: for the limits, and how many threads decode.
        on_health: called when `failure` has changed.
        clock: seconds, for measuring; deadlines are in event loop time.
    """

    def __init__(
        self,
        network: Network,
        metrics: Metrics,
        settings: Settings,
        *,
        on_health: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._metrics = metrics
        self._brownout = settings.brownout
        self._clock = clock
        self._batcher = Batcher(network, metrics, settings, on_health, clock)
        waiting = settings.low_queue + settings.high_queue
        self._lanes = {
            Source.PAYLOAD: DecodeLane(Source.PAYLOAD, settings.decoders, waiting, clock),
            Source.IMAGE: DecodeLane(Source.IMAGE, settings.image_decoders, settings.image_queue, clock),
        }
        self._active = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._open = False

    async def start(self) -> None:
        """Warm the network, then accept images."""
        await self._batcher.start()
        self._open = True
        # Not before, because an engine that does not start must not take the place of one that runs.
        for stage, queue in self._batcher.queues.items():
            self._metrics.queue_depth.labels(stage).set_function(queue.depth)

    async def stop(self, grace: float = 0.0) -> None:
        """Accept nothing new, give what waits `grace` seconds, then stop the threads."""
        self._open = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._idle.wait()
        await self._batcher.stop()
        for lane in self._lanes.values():
            await lane.stop()

    @property
    def failure(self) -> str | None:
        """Why every image is refused although the engine runs; None while the network works."""
        return self._batcher.failure

    def backlog(self, source: Source = Source.PAYLOAD) -> float:
        """Estimated seconds until everything is done that an image from `source` has to wait for.

        That is what its decoders and the network have to do, each at the speed that was measured last.
        """
        return self._lanes[source].backlog() + self._batcher.backlog()

    @property
    def overloaded(self) -> bool:
        """Whether it is better to give the answer so far than to ask for more."""
        return self.backlog() > self._brownout

    async def submit(
        self, stage: Stage, prepare: Prepare, expires: float, source: Source | None = Source.PAYLOAD
    ) -> Inference:
        """Decode an image, queue it, and wait for its logits.

        Args:
            stage: LOW or HIGH.
            prepare: makes the image; its exceptions are raised here.
            expires: event loop time after which nobody wants the answer.
            source: decides which threads call `prepare`; None if there is nothing to decode.

        Raises:
            Overloaded: a queue is full.
            Expired: the deadline passed.
            NetworkFailed: the network failed for this image.
            Unavailable: the engine is stopped, or its network fails for every image.
        """
        queue = self._admit(stage, expires, source)
        arrived = self._clock()
        ticket: Ticket | None = None
        self._count(+1)
        try:
            async with asyncio.timeout_at(expires):
                known = await self._decode(queue, prepare, source)
                ticket = Ticket(asyncio.get_running_loop().create_future(), arrived, expires, known)
                self._batcher.put(stage, ticket)
                return await ticket.future
        except TimeoutError:
            self._metrics.shed.labels(stage, "expired").inc()
            raise _too_late() from None
        except asyncio.CancelledError:
            self._metrics.shed.labels(stage, "departed").inc()
            raise
        finally:
            if ticket is not None:
                self._batcher.remove(stage, ticket)
            self._count(-1)

    def _admit(self, stage: Stage, expires: float, source: Source | None) -> StageQueue:
        if not self._open:
            raise Stopping
        self._batcher.check()
        queue = self._batcher.queues[stage]
        if queue.depth() >= queue.limit or (source is not None and self._lanes[source].full):
            self._metrics.shed.labels(stage, "full").inc()
            wait = self.backlog(source or Source.PAYLOAD)
            raise Overloaded("the server is full; try again later", retry_after=min(max(wait, 0.1), 30.0))
        if expires <= asyncio.get_running_loop().time():
            self._metrics.shed.labels(stage, "expired").inc()
            raise _too_late()
        return queue

    async def _decode(self, queue: StageQueue, prepare: Prepare, source: Source | None) -> Known:
        if source is None:
            return prepare()
        queue.decoding += 1
        try:
            return await self._lanes[source].run(prepare)
        finally:
            queue.decoding -= 1

    def _count(self, change: int) -> None:
        self._active += change
        if self._active:
            self._idle.clear()
        else:
            self._idle.set()


def _too_late() -> Expired:
    return Expired("the deadline passed before the answer was there")
