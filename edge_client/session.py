"""One gRPC stream: many images in flight, each with an inbox of its own."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import grpc

from overtone.edge_client.errors import ConnectionLost, OvertoneError, ProtocolError, Unavailable, from_code
from overtone.edge_client.exchange import Exchange
from overtone.edge_client.outbox import Outbox
from overtone.edge_client.pace import Pace
from overtone.edge_client.policy import Plan
from overtone.edge_client.transport import Reply, Upload
from overtone.protos import overtone_pb2 as pb

STAGES: dict[int, Any] = {pb.STAGE_LOW: "low", pb.STAGE_HIGH: "high", pb.STAGE_BROWNOUT: "brownout"}
# Ends of a stream that say nothing about the image, only that the way to the server broke.
BROKEN = frozenset({"UNAVAILABLE", "UNKNOWN", "CANCELLED", "INTERNAL", "ABORTED", "DEADLINE_EXCEEDED"})

Metadata = tuple[tuple[str, str], ...]


class Moved(Exception):  # noqa: N818 - not an error: nothing has been sent, another session will take it
    """This session takes no new images."""


class Session:
    """An open stream, greeted and welcomed.

    A write that is cancelled cancels its whole stream, so images put their messages in an outbox, and one
    task writes them; what waits there for an image that has been answered meanwhile is never sent.
    """

    def __init__(self, call: Any, welcome: pb.Welcome, pace: Pace) -> None:
        self._call = call
        self.profile_id = welcome.profile_id
        self.model = welcome.model
        self.credits = max(1, welcome.credits)
        self._slots = asyncio.Semaphore(self.credits)
        self._exchanges: dict[int, Exchange] = {}
        self._last = 0
        self._leaving = False
        self._lost = False
        self._heard = asyncio.get_running_loop().time()
        self._pace = pace
        self._outbox = Outbox(pace)
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._speak())]

    @classmethod
    async def open(cls, stub: Any, metadata: Metadata, hello: pb.Hello, pace: Pace) -> "Session":
        """Say hello and wait for the welcome.

        Args:
            stub: of the service.
            metadata: with the token.
            hello: what holds for all images.
            pace: of the link, which nothing else of this device uses.

        Raises:
            OvertoneError: it did not come.
        """
        call = stub.Session(metadata=metadata)
        try:
            with broken_off():
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
            return cls(call, first.welcome, pace)
        call.cancel()
        if kind == "go_away":
            raise Unavailable(f"the server is leaving ({first.go_away.reason})")
        raise ProtocolError("the server did not begin with a welcome")

    @property
    def usable(self) -> bool:
        """Whether new images may be sent."""
        return not (self._leaving or self._lost)

    @property
    def silence(self) -> float:
        """Seconds since the server was last heard."""
        return asyncio.get_running_loop().time() - self._heard

    async def classify(self, upload: Upload, plan: Plan) -> Reply:
        """Send an image, with its high payload when the plan says so, and wait for the answer.

        Raises:
            Moved: the session takes no new images; nothing has been sent.
            ConnectionLost: it broke before the answer.
            OvertoneError: the server's word on this image.
        """
        async with self._slots:
            if not self.usable:
                raise Moved
            exchange = self._begin(upload, plan)
            try:
                self._put_image(exchange, high_follows=plan == "at_once")
                if plan == "ahead":
                    self._outbox.put_ahead(exchange)
                return await self._converse(exchange)
            except asyncio.CancelledError:
                self._outbox.put(pb.Upstream(cancel=pb.Cancel(id=exchange.number)))
                raise
            finally:
                self._finish(exchange)

    def leave(self) -> None:
        """Take no new images; the stream ends once those in flight are answered."""
        self._leaving = True
        if not self._exchanges:
            self._outbox.put(pb.Upstream(end=pb.End()))

    def break_off(self, error: OvertoneError) -> None:
        """Give the stream up; images in flight get the error."""
        self._fail(error)
        self._call.cancel()

    async def close(self, grace: float) -> None:
        """Leave, and wait for the server to close, at most `grace` seconds."""
        self.leave()
        await asyncio.wait(self._tasks[:1], timeout=grace)
        self.break_off(ConnectionLost("the client was closed"))
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks, timeout=grace)

    def _begin(self, upload: Upload, plan: Plan) -> Exchange:
        self._last = self._last % 0xFFFF_FFFF + 1
        exchange = Exchange(self._last, upload, plan, self._pace)
        self._exchanges[exchange.number] = exchange
        return exchange

    def _finish(self, exchange: Exchange) -> None:
        exchange.over = True
        del self._exchanges[exchange.number]
        if self._leaving and not self._exchanges:
            self._outbox.put(pb.Upstream(end=pb.End()))

    async def _converse(self, exchange: Exchange) -> Reply:
        while True:
            message = await exchange.inbox.get()
            if isinstance(message, OvertoneError):
                raise message
            match message.WhichOneof("message"):
                case "answer":
                    return self._reply(message.answer, exchange)
                case "error":
                    raise from_message(message.error)
                case "need_high" if message.need_high.send_both:
                    if exchange.sent_again:
                        raise ProtocolError("the server lost the same image twice")
                    exchange.sent_again = True
                    self._put_image(exchange, high_follows=True)
                case "need_high":
                    self._outbox.put_high(exchange)

    def _reply(self, answer: pb.Answer, exchange: Exchange) -> Reply:
        if not answer.top or answer.stage not in STAGES:
            raise ProtocolError("the server gave an answer without a class or a stage")
        stage = STAGES[answer.stage]
        return Reply(
            tuple((score.index, score.probability) for score in answer.top),
            stage,
            answer.confident,
            answer.queue_us / 1e3,
            answer.compute_us / 1e3,
            self.model,
            exchange.outcome(stage, (answer.queue_us + answer.compute_us) / 1e6),
        )

    def _put_image(self, exchange: Exchange, *, high_follows: bool) -> None:
        self._outbox.put(exchange.image(high_follows=high_follows), exchange)
        if high_follows:
            self._outbox.put_high(exchange)

    async def _speak(self) -> None:
        # Once the stream is broken, writing fails and the listener says why.
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            while True:
                message = await self._outbox.take()
                await self._call.write(message)
                if message.HasField("end"):
                    await self._call.done_writing()
                    return

    async def _listen(self) -> None:
        error: OvertoneError = ConnectionLost("the session was given up")
        try:
            while (message := await self._call.read()) is not grpc.aio.EOF:
                self._heard = asyncio.get_running_loop().time()
                if not isinstance(message, pb.Downstream):
                    error = ProtocolError("the server sent something that is not a message")
                    return
                self._hear(message)
            error = ConnectionLost("the server closed the session")
        except grpc.aio.AioRpcError as broken:
            error = from_rpc(broken)
        finally:
            self._fail(error)
            self._call.cancel()

    def _hear(self, message: pb.Downstream) -> None:
        kind = message.WhichOneof("message")
        if kind == "go_away":
            self.leave()
        elif kind in ("answer", "error", "need_high"):
            exchange = self._exchanges.get(getattr(message, kind).id)
            if exchange is not None:  # else an answer that came too late
                exchange.hears(message, self._heard)

    def _fail(self, error: OvertoneError) -> None:
        if not self._lost:
            self._lost = True
            self._tasks[1].cancel()
            for exchange in self._exchanges.values():
                exchange.inbox.put_nowait(error)


@contextlib.contextmanager
def broken_off() -> Iterator[None]:
    """Tell a call whose channel was closed from a caller who was cancelled: gRPC raises the same for both.

    Raises:
        ConnectionLost: the channel was closed.
    """
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise ConnectionLost("the connection was given up") from None


def from_rpc(error: grpc.aio.AioRpcError) -> OvertoneError:
    """The error for a call or a stream that ended badly, with the server's wish for a pause (gRFC A6)."""
    name, words = error.code().name, error.details() or ""
    pause = dict(error.trailing_metadata() or ()).get("grpc-retry-pushback-ms", "")
    retry_after = int(pause) / 1e3 if isinstance(pause, str) and pause.isdecimal() else None
    if name in BROKEN:
        return ConnectionLost(f"the connection broke ({name}: {words})", retry_after)
    return from_code(name, words, retry_after)


def from_message(error: pb.Error) -> OvertoneError:
    """The error for one image of a session."""
    names = {code.value[0]: code.name for code in grpc.StatusCode}
    return from_code(names.get(error.code, "UNKNOWN"), error.message, error.retry_after_ms / 1e3)
