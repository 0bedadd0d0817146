"""The engine of one model: every image passes admission, decoding and batching here, and leaves as a network's row.

An image is refused at once if it would miss its deadline, or if the queue is full or has been standing for some time.
Images whose client has disconnected, or that can no longer be done in time, are dropped before the network
runs them. An idle network never waits.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from functools import partial

from overtone.gpu_server.answer import Stage
from overtone.gpu_server.decoded_image import DecodedImage
from overtone.gpu_server.engine.decoding import DecoderPool, Source
from overtone.gpu_server.engine.inference import Inference, Network, Prepare, Request
from overtone.gpu_server.engine.queues import ORDER, Refusal
from overtone.gpu_server.engine.runner import Runner
from overtone.gpu_server.errors import Stopping, overloaded, too_late
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.system.threads import call_in_loop
from overtone.gpu_server.telemetry.metrics import Metrics

__all__ = ["DecodedImage", "Engine", "Inference", "Network", "Prepare", "Source"]


class Engine:
    """Runs the images of many requests; use it from one event loop only.

    Args:
        runner: runs decoded images, in this process or through another one.
        metrics: where to count.
        settings: for the limits, and how many threads decode.
        clock: seconds, for measuring, the same as the runner's; deadlines are in event loop time.
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
        self._decoders = {
            Source.PAYLOAD: DecoderPool(Source.PAYLOAD, settings.decoders, waiting, clock),
            Source.IMAGE: DecoderPool(Source.IMAGE, settings.image_decoders, settings.image_queue, clock),
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
        """Accept no more images, wait up to `grace` seconds for those that are in the engine, then stop the threads."""
        self._open = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._idle.wait()
        await self._runner.stop()
        for stage, depth in self._depths.items():
            self._metrics.forget_depth(stage, depth)
        for decoder in self._decoders.values():
            await decoder.stop()

    @property
    def failure(self) -> str | None:
        """Why every image is refused although the engine runs; None while the network works."""
        return self._runner.failure

    def backlog(self, source: Source = Source.PAYLOAD) -> float:
        """Estimated seconds that an image from `source` would wait for its decoders and for the network."""
        return self._decoders[source].backlog() + self._runner.backlog()

    @property
    def waiting(self) -> bool:
        """Whether images wait for the network."""
        return any(depth() for depth in self._depths.values())

    @property
    def overloaded(self) -> bool:
        """Whether a transport should give the answer so far instead of asking for further layers."""
        return self._runner.standing or self.backlog() > self._brownout

    async def submit(
        self, stage: Stage, prepare: Prepare, expires: float, source: Source | None = Source.PAYLOAD
    ) -> Inference:
        """Decode an image, queue it, and wait for its row.

        Args:
            stage: LOW or HIGH.
            prepare: decodes the image; its exceptions are raised here.
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
                self._decoders[source].remove(ticket)
            self._runner.remove(ticket)
            self._count(-1)

    def _admit(self, stage: Stage, expires: float, source: Source | None) -> None:
        if not self._open:
            raise Stopping
        self._runner.check()
        if expires <= asyncio.get_running_loop().time():
            self._metrics.of(self._metrics.shed, stage, "expired").inc()
            raise too_late()
        decoder = None if source is None else self._decoders[source]
        if decoder is not None and decoder.full:
            refusal: Refusal | None = Refusal("full", self.backlog(decoder.source))
        else:
            refusal = self._runner.refusal(stage, expires, decoder.backlog() if decoder else 0.0)
        if refusal is not None:
            self._metrics.of(self._metrics.shed, stage, refusal.reason).inc()
            raise overloaded(refusal.wait)

    def _prepare(self, ticket: Request, prepare: Prepare, source: Source | None) -> None:
        if source is None:
            ticket.decoded = prepare()
            self._runner.put(ticket, expected=False)
        else:
            self._runner.expect(ticket)
            self._decoders[source].put(ticket, partial(self._decode, ticket, prepare))

    def _decode(self, ticket: Request, prepare: Prepare) -> None:
        """Decode an image and hand it to the runner; called in a thread of a `DecoderPool`."""
        try:
            ticket.decoded = prepare()
            self._runner.put(ticket)
        except Exception as error:
            call_in_loop(ticket.future.get_loop(), ticket.fail, error)

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
