"""What is done for every gRPC call before it reaches the service."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from overtone.gpu_server.arrival import INTERNAL, Kind
from overtone.gpu_server.service import Service
from overtone.protos import overtone_pb2 as pb

_CLASSIFY = f"/{pb.DESCRIPTOR.services_by_name['Cascade'].full_name}/Classify"

Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler | None]]


class Interceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Counts calls whose message is no message: gRPC refuses them without asking the service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler | None:
        """The handler, with another way of reading messages."""
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method != _CLASSIFY:
            return handler
        read = handler.request_deserializer

        def counting(message: bytes) -> Any:
            try:
                return read(message)
            except Exception:
                self._service.arrive("grpc", Kind.CALL).end(INTERNAL)
                raise

        return handler._replace(request_deserializer=counting)
