"""The engine: what every image goes through, from admission over decoding and batching to its result.

What would not be done by its deadline is refused at once, and so is what finds a queue that is full or has stood for
some time. Images whose client has disconnected, or that can no longer be done in time, are dropped before the network
runs them. An idle network never waits.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from functools import partial

from overtone.gpu_server.answer import Stage
from overtone.gpu_server.engine.decoding import DecodeLane, Source
from overtone.gpu_server.engine.inference import Inference, Network, Prepare, Request
from overtone.gpu_server.engine.queues import ORDER, Refusal
from overtone.gpu_server.engine.runner import Runner
from overtone.gpu_server.errors import Stopping, overloaded, too_late
from overtone.gpu_server.known import Known
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.system.threads import tell
from overtone.gpu_server.telemetry.metrics import Metrics

__all__ = ["Engine", "Inference", "Known", "Network", "Prepare", "Source"]


class Engine:
    """Runs the images of many requests; use it from one event loop only.

    Args:
        runner: what runs decoded images, here or in another process.
        metrics: where to count.
        settings: for the limits, and how many threads decode.
        clock: seconds, for measuring, as of the runner; deadlines are in event loop time.
    """

    def __init__(
        self,
        runner: Runner,
        metrics: Metrics,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._metrics = metrics
        self._brownout = settings.brownout
        self._clock = clock
        self._runner = runner
        waiting = settings.low_queue + settings.high_queue
        self._lanes = {
            Source.PAYLOAD: DecodeLane(Source.PAYLOAD, settings.decoders, waiting, clock),
            Source.IMAGE: DecodeLane(Source.IMAGE, settings.image_decoders, settings.image_queue, clock),
        }
        self._depths = {stage: partial(runner.depth, stage) for stage in ORDER}
        self._active = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._open = False

    async def start(self) -> None:
        """Warm the networks, then accept images."""
        await self._runner.start()
        self._open = True
        for stage, depth in self._depths.items():
            self._metrics.watch_depth(stage, depth)

    async def stop(self, grace: float = 0.0) -> None:
        """Accept nothing new, give what waits `grace` seconds, then stop the threads."""
        self._open = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._idle.wait()
        await self._runner.stop()
        for stage, depth in self._depths.items():
            self._metrics.forget_depth(stage, depth)
        for lane in self._lanes.values():
            await lane.stop()

    @property
    def failure(self) -> str | None:
        """Why every image is refused although the engine runs; None while the network works."""
        return self._runner.failure

    def backlog(self, source: Source = Source.PAYLOAD) -> float:
        """Estimated seconds until everything is done that an image from `source` has to wait for.

        That is what its decoders and the network have to do, each at the speed that was measured last.
        """
        return self._lanes[source].backlog() + self._runner.backlog()

    @property
    def waiting(self) -> bool:
        """Whether images wait for the network."""
        return any(depth() for depth in self._depths.values())

    @property
    def overloaded(self) -> bool:
        """Whether it is better to give the answer so far than to ask for more."""
        return self._runner.standing or self.backlog() > self._brownout

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
            Overloaded: a queue is full or stands, or the image would not be done by its deadline.
            Expired: the deadline passed.
            NetworkFailed: the network failed for this image.
            Unavailable: the engine is stopped, or its network fails for every image.
        """
        self._admit(stage, expires, source)
        loop = asyncio.get_running_loop()
        ticket = Request(stage, self._clock(), loop.time(), expires, future=loop.create_future())
        # One timer instead of a timeout around an await, whose cancellation would cost more.
        timer = loop.call_at(expires, self._expire, ticket)
        self._count(+1)
        try:
            self._prepare(ticket, prepare, source)
            return await ticket.future
        except asyncio.CancelledError:
            self._metrics.of(self._metrics.shed, stage, "departed").inc()
            raise
        finally:
            timer.cancel()
            if source is not None:
                self._lanes[source].remove(ticket)
            self._runner.remove(ticket)
            self._count(-1)

    def _admit(self, stage: Stage, expires: float, source: Source | None) -> None:
        if not self._open:
            raise Stopping
        self._runner.check()
        if expires <= asyncio.get_running_loop().time():
            self._metrics.of(self._metrics.shed, stage, "expired").inc()
            raise too_late()
        lane = None if source is None else self._lanes[source]
        if lane is not None and lane.full:
            refusal: Refusal | None = Refusal("full", self.backlog(lane.source))
        else:
            refusal = self._runner.refusal(stage, expires, lane.backlog() if lane else 0.0)
        if refusal is not None:
            self._metrics.of(self._metrics.shed, stage, refusal.reason).inc()
            raise overloaded(refusal.wait)

    def _prepare(self, ticket: Request, prepare: Prepare, source: Source | None) -> None:
        if source is None:
            ticket.known = prepare()
            self._runner.put(ticket, expected=False)
        else:
            self._runner.expect(ticket)
            self._lanes[source].put(ticket, partial(self._decode, ticket, prepare))

    def _decode(self, ticket: Request, prepare: Prepare) -> None:
        """In a thread of a lane: decode an image and hand it to the batcher."""
        try:
            ticket.known = prepare()
            self._runner.put(ticket)
        except Exception as error:
            tell(ticket.future.get_loop(), ticket.fail, error)

    def _expire(self, ticket: Request) -> None:
        if not ticket.future.done():
            self._metrics.of(self._metrics.shed, ticket.stage, "expired").inc()
            ticket.fail(too_late())

    def _count(self, change: int) -> None:
        self._active += change
        if self._active:
            self._idle.clear()
        else:
            self._idle.set()
