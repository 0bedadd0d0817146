"""Every gRPC method as a stream of bytes, so that a peer is known when its stream begins and not when it has sent all.

gRPC calls the handler of a unary method when the request has come whole, and parses messages itself: a damaged one
would be an INTERNAL error with a traceback in the log.
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

# Wasted streams of one connection, of a peer that has wasted too many, after which it is no accident.
WASTED = 100


class Messages:
    """The messages of one stream, parsed as they come; `served` once the method has been called."""

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
            BadRequest: it is not one of this kind.
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


class Streams(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Finds the handlers of services' methods.

    A stream counts against the rate of its peer until it has done something: sent its request, or a second message.

    Args:
        services: the description of each, and what has a method for each of its methods.
        connections: where to count.
        rate: of streams that do nothing.
        timeout: seconds for the request of a unary method to come.
        on_refused: called when a stream is refused for its peer's rate.
        abort: ends a call with an error.
        on_unserved: told the full name of a method that was not called, and why.
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
            if connection.wasted - connection.open > WASTED:
                self._connections.ban(connection.peer)
            raise errors.OverShare("too many streams that do nothing; try again later", retry_after=1.0)
        connection.open += 1
        try:
            yield connection
        finally:
            connection.open -= 1
