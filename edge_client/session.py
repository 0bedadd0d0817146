"""One gRPC stream, on which many images are in flight."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import grpc

from overtone.edge_client.chunk_pacing import ChunkPacer
from overtone.edge_client.errors import ConnectionLost, OvertoneError, ProtocolError, Unavailable
from overtone.edge_client.exchange import Exchange
from overtone.edge_client.grpc_answer import named_classes, raw_answer
from overtone.edge_client.grpc_errors import from_message, from_rpc, raises_connection_lost
from overtone.edge_client.liveness import Liveness
from overtone.edge_client.outbox import Outbox
from overtone.edge_client.plan import Plan
from overtone.edge_client.transport import RawAnswer, Upload
from overtone.protos import overtone_pb2 as pb

Metadata = tuple[tuple[str, str], ...]


class SessionClosing(Exception):  # noqa: N818 - not an error: nothing was sent, and another session can take it
    """The session takes no new images."""


class Session:
    """An open stream on which hello and welcome have been exchanged.

    A write that is cancelled cancels the whole stream. So images put their messages into an outbox, and one task
    writes them. Messages that still wait there when their image has been answered are never sent.
    """

    def __init__(
        self,
        call: Any,
        welcome: pb.Welcome,
        pacer: ChunkPacer,
        liveness: Liveness,
        on_dead: Callable[["Session"], None],
    ) -> None:
        self._call = call
        self.profile_id = welcome.profile_id
        self.model, self.version, self.task = welcome.model, welcome.version, welcome.task
        self.credits = max(1, welcome.credits)
        self._slots = asyncio.Semaphore(self.credits)
        self._exchanges: dict[int, Exchange] = {}
        self._labels: dict[int, str] = {}
        self._last = 0
        self._leaving = self._lost = False
        self._pacer = pacer
        self._liveness = liveness
        self._outbox = Outbox(pacer)
        self._on_dead = on_dead
        self._tasks = [asyncio.create_task(job) for job in (self._read(), self._write(), self._watch())]

    @classmethod
    async def open(
        cls,
        stub: Any,
        metadata: Metadata,
        hello: pb.Hello,
        pacer: ChunkPacer,
        probe: Callable[[], Awaitable[object]],
        on_dead: Callable[["Session"], None],
    ) -> "Session":
        """Say hello and wait for the welcome.

        Args:
            stub: of the service.
            metadata: holds the token.
            hello: what holds for all images.
            pacer: of the link, which nothing else on this device uses.
            probe: asks the server something small on the same connection, and returns when it has replied.
            on_dead: called when images wait and the server does not even reply to the probe.

        Raises:
            OvertoneError: there was no welcome.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        call = stub.Session(metadata=metadata)
        try:
            with raises_connection_lost():
                await call.write(pb.Upstream(hello=hello))
                first = await call.read()
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error) from error
        except asyncio.InvalidStateError as error:
            raise ConnectionLost("the stream ended before it began") from error
        except BaseException:
            call.cancel()
            raise
        kind = first.WhichOneof("message") if isinstance(first, pb.Downstream) else None
        if kind == "welcome":
            liveness = Liveness(pacer.link, loop.time() - begun, probe)
            return cls(call, first.welcome, pacer, liveness, on_dead)
        call.cancel()
        if kind == "go_away":
            raise Unavailable(f"the server is stopping ({first.go_away.reason})")
        raise ProtocolError("the server did not begin with a welcome")

    @property
    def usable(self) -> bool:
        """Whether the session takes new images."""
        return not (self._leaving or self._lost)

    async def send(self, upload: Upload, plan: Plan) -> RawAnswer:
        """Send an image, its layers as the plan says and the server asks, and wait for the answer.

        Raises:
            SessionClosing: the session takes no new images; nothing was sent.
            ConnectionLost: the session broke before the answer.
            OvertoneError: the server refused this image.
        """
        async with self._slots:
            if not self.usable:
                raise SessionClosing
            exchange = self._begin(upload, plan)
            try:
                self._put_image(exchange, plan)
                return await self._converse(exchange)
            finally:
                self._finish(exchange)

    def leave(self) -> None:
        """Take no new images; the stream ends when those in flight have been answered."""
        self._leaving = True
        if not self._exchanges:
            self._outbox.put(pb.Upstream(end=pb.End()))

    def break_off(self, error: OvertoneError) -> None:
        """Give the stream up; images in flight end in this error."""
        self._fail(error)
        self._call.cancel()

    async def close(self, grace: float) -> None:
        """Leave, and wait at most `grace` seconds for the server to end the stream."""
        self.leave()
        await asyncio.wait(self._tasks[:1], timeout=grace)
        self.break_off(ConnectionLost("the client was closed"))
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks, timeout=grace)

    def _begin(self, upload: Upload, plan: Plan) -> Exchange:
        self._last = self._last % 0xFFFF_FFFF + 1
        exchange = Exchange(self._last, upload, plan, self._pacer)
        self._exchanges[exchange.number] = exchange
        self._liveness.begin(exchange.number, upload.time_limit)
        return exchange

    def _finish(self, exchange: Exchange) -> None:
        exchange.over = True
        del self._exchanges[exchange.number]
        self._liveness.end(exchange.number)
        if exchange.sent and not exchange.settled:
            # Written before any further image, so the server has freed the credit when that one comes.
            self._outbox.put(pb.Upstream(cancel=pb.Cancel(id=exchange.number)))
        if self._leaving and not self._exchanges:
            self._outbox.put(pb.Upstream(end=pb.End()))

    async def _converse(self, exchange: Exchange) -> RawAnswer:
        while True:
            message = await exchange.inbox.get()
            if isinstance(message, OvertoneError):
                raise message
            match message.WhichOneof("message"):
                case "answer":
                    return self._raw_answer(message.answer, exchange)
                case "error":
                    raise from_message(message.error)
                case "need_more":
                    await self._put_more(exchange, message.need_more)

    def _raw_answer(self, answer: pb.Answer, exchange: Exchange) -> RawAnswer:
        raw = raw_answer(answer, exchange.upload, self._labels, self.model)
        return replace(
            raw, observation=exchange.observation(raw.stage, (raw.queue_ms + raw.compute_ms) / 1e3)
        )

    def _put_image(self, exchange: Exchange, plan: Plan) -> None:
        promised = plan.unasked if plan.promised else 0
        self._outbox.put(exchange.image(plan.together, promised), exchange)
        if plan.promised:
            self._outbox.put_layers(exchange, plan.unasked)
        elif plan.unasked > plan.together:
            self._outbox.put_ahead(exchange)

    async def _put_more(self, exchange: Exchange, wanted: pb.NeedMore) -> None:
        """Send layers that the server asks for.

        Raises:
            ProtocolError: there are no such layers, or the server asks for the whole image a second time.
            OvertoneError: they cannot be encoded, because their tables did not come.
        """
        if not 0 < wanted.layers <= exchange.count:
            raise ProtocolError("the server asks for layers that there are not")
        if wanted.again and not wanted.blocks:
            await exchange.upload.need(wanted.layers)
        else:
            await exchange.upload.need_blocks(wanted.blocks, wanted.layers, exchange.made)
        if not wanted.again:
            self._outbox.put_layers(exchange, wanted.layers)
            return
        if exchange.sent_again:
            raise ProtocolError("the server lost the same image twice")
        exchange.sent_again = True
        self._outbox.put(exchange.image(wanted.layers), exchange)

    async def _write(self) -> None:
        # When the stream is broken, writing fails, and `_read` reports why.
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            while True:
                message = await self._outbox.take()
                await self._call.write(message)
                if message.HasField("end"):
                    await self._call.done_writing()
                    return

    async def _read(self) -> None:
        error: OvertoneError = ConnectionLost("the session was given up")
        try:
            while (message := await self._call.read()) is not grpc.aio.EOF:
                self._liveness.heard()
                if not isinstance(message, pb.Downstream):
                    error = ProtocolError("the server sent something that is not a message")
                    return
                self._dispatch(message)
            error = ConnectionLost("the server closed the session")
        except grpc.aio.AioRpcError as broken:
            error = from_rpc(broken)
        finally:
            self._fail(error)
            self._call.cancel()

    async def _watch(self) -> None:
        await self._liveness.dead()
        self._on_dead(self)

    def _dispatch(self, message: pb.Downstream) -> None:
        kind = message.WhichOneof("message")
        if kind == "go_away":
            self.leave()
        elif kind in ("answer", "error", "need_more"):
            # Also if the image has been given up, as the server names each class only once.
            self._labels.update(named_classes(message.answer))
            exchange = self._exchanges.get(getattr(message, kind).id)
            if exchange is not None:  # otherwise the image has been given up
                exchange.on_received(message, asyncio.get_running_loop().time())

    def _fail(self, error: OvertoneError) -> None:
        if not self._lost:
            self._lost = True
            for task in self._tasks[1:]:
                task.cancel()
            for exchange in self._exchanges.values():
                exchange.inbox.put_nowait(error)
