"""Handlers that serve every gRPC method as a stream of bytes, so that limits apply when a stream begins.

gRPC would call the handler of a unary method only once the request has arrived whole, and would parse messages itself:
a damaged one would be an INTERNAL error with a traceback in the log.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from overtone.gpu_server import errors
from overtone.gpu_server.grpc.connections import Connection, GrpcConnections
from overtone.gpu_server.limits.budget import PEER
from overtone.gpu_server.limits.rate_limiter import RateLimiter

Context: TypeAlias = grpc.aio.ServicerContext
Abort: TypeAlias = Callable[[Context, errors.ServiceError], Awaitable[Any]]

# Useless streams of one connection after which a peer that is over its rate is banned.
BANNED_AFTER = 100


class Messages:
    """The messages of one stream, parsed as they arrive.

    Attributes:
        count: messages that have arrived.
        served: whether the method has been called.
        connection: of the stream.
    """

    def __init__(self, context: Context, kind: Any, connection: Connection) -> None:
        self.count = 0
        self.served = False
        self.connection = connection
        self._context = context
        self._kind = kind

    def __aiter__(self) -> "Messages":
        return self

    async def __anext__(self) -> Any:
        """The next message.

        Raises:
            BadRequest: it cannot be parsed as a message of this type.
        """
        data = await self._context.read()
        if data is grpc.aio.EOF:
            raise StopAsyncIteration
        self.count += 1
        self.connection.messages += 1
        self.connection.read += len(data)
        try:
            return self._kind.FromString(data)
        except DecodeError:
            raise errors.BadRequest(f"a message that is no {self._kind.DESCRIPTOR.name}") from None


class StreamHandlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    """The handlers of the methods of some services.

    A stream counts against the rate of its peer until it is useful: it has sent its request, or a second message.

    Args:
        services: servicers, by the descriptors of their services.
        connections: where streams and messages are counted.
        rate: limits streams that are not useful, by peer.
        timeout: seconds for the request of a unary method to arrive.
        on_refused: called when a stream is refused because of its peer's rate.
        abort: ends a call with an error.
        on_unserved: called with the full name of a method that was not called, and the error.
    """

    def __init__(
        self,
        services: Mapping[Any, object],
        connections: GrpcConnections,
        rate: RateLimiter,
        timeout: float,
        on_refused: Callable[[str], None],
        abort: Abort,
        on_unserved: Callable[[str, errors.ServiceError], None],
    ) -> None:
        self._connections = connections
        self._rate = rate
        self._timeout = timeout
        self._on_refused = on_refused
        self._abort = abort
        self._on_unserved = on_unserved
        self._handlers = {
            f"/{description.full_name}/{method.name}": self._handler(method, getattr(servicer, method.name))
            for description, servicer in services.items()
            for method in description.methods
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """The handler of a method; None if it is another service's."""
        return self._handlers.get(handler_call_details.method)

    def _handler(self, method: Any, run: Callable[..., Awaitable[Any]]) -> grpc.RpcMethodHandler:
        kind = method.input_type._concrete_class
        serve = self._serve_stream if method.client_streaming else self._serve_one

        async def handle(_: object, context: Context) -> None:
            sent: Messages | None = None
            try:
                with self._begun(context) as connection:
                    sent = Messages(context, kind, connection)
                    await serve(run, sent, context)
            except errors.ServiceError as error:
                if sent is None or not sent.served:
                    self._on_unserved(method.full_name, error)
                await self._abort(context, error)

        return grpc.stream_stream_rpc_method_handler(
            handle, response_serializer=lambda reply: reply.SerializeToString()
        )

    async def _serve_one(self, run: Callable[..., Awaitable[Any]], sent: Messages, context: Context) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                request = await anext(sent, None)
        except TimeoutError:
            raise errors.TooSlow(f"the request did not arrive within {self._timeout:g} s") from None
        if request is None:
            raise errors.ClientDisconnected("the stream ended before the request came")
        self._useful(sent.connection)
        sent.served = True
        if (reply := await run(request, context)) is not None:  # a method that streams writes by itself
            await context.write(reply)

    async def _serve_stream(
        self, run: Callable[..., Awaitable[Any]], sent: Messages, context: Context
    ) -> None:
        sent.served = True
        await run(sent, context)
        if sent.count > 1:
            self._useful(sent.connection)

    def _useful(self, connection: Connection) -> None:
        connection.wasted -= 1
        self._rate.give_back(connection.peer)

    @contextmanager
    def _begun(self, context: Context) -> Iterator[Connection]:
        """Count a stream while inside.

        Raises:
            OverShare: its peer has begun too many that did nothing.
        """
        connection = self._connections.of(context.peer())
        connection.streams += 1
        connection.wasted += 1
        if not self._rate.take(connection.peer):
            self._on_refused(PEER)
            if connection.wasted - connection.open > BANNED_AFTER:
                self._connections.ban(connection.peer)
            raise errors.OverShare("too many streams that do nothing; try again later", retry_after=1.0)
        connection.open += 1
        try:
            yield connection
        finally:
            connection.open -= 1
