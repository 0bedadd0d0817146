"""The gRPC server: grpc.aio around sessions and the core."""

import asyncio
from collections.abc import AsyncIterator
from typing import NoReturn, TypeAlias

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from overtone.frequency.ladder import MAX_LAYERS
from overtone.gpu_server import messages
from overtone.gpu_server.errors import OutdatedClient, ServiceError, StartError
from overtone.gpu_server.service import Service
from overtone.gpu_server.session import Session
from overtone.gpu_server.settings import KIB, MIB, Settings
from overtone.gpu_server.sockets import listener
from overtone.protos import overtone_pb2 as pb
from overtone.protos import overtone_pb2_grpc as stubs

NAME = pb.DESCRIPTOR.services_by_name["Cascade"].full_name
FORMER_NAME = "overtone.v1.Cascade"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

Context: TypeAlias = grpc.aio.ServicerContext


def channel_options(settings: Settings, *, shared: bool = False) -> tuple[tuple[str, int], ...]:
    """gRPC's options for a server with these settings."""
    # An image may come in one message with all its layers, and a little beside them. Below 1 MiB a payload that is
    # too large is refused by us, with a message that says so.
    most = max(MIB, MAX_LAYERS * settings.max_payload_bytes + 4 * KIB)
    return (
        ("grpc.max_receive_message_length", most),
        # Otherwise a second server on the same port would share its connections instead of failing.
        ("grpc.so_reuseport", int(shared)),
        # It would ping after every few messages, to size windows that messages of a kilobyte never fill.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", round(1000 * settings.min_ping_interval)),
        ("grpc.max_connection_age_ms", 20 * 60_000),
        ("grpc.max_connection_age_grace_ms", 60_000),
    )


class CascadeServicer(stubs.CascadeServicer):
    """`overtone.v2.Cascade`, which names the methods."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def Session(self, upstream: AsyncIterator[pb.Upstream], context: Context) -> None:  # noqa: N802
        """One device's stream."""
        try:
            owner = self._admit(context)
            # Messages are written rather than yielded, so that the cancellation of a call is raised in here, where
            # it can be cleaned up after.
            await Session(self._service, context.write, owner).run(upstream)
        except ServiceError as error:
            await abort(context, error)

    async def Classify(self, request: pb.ClassifyRequest, context: Context) -> pb.Answer:  # noqa: N802
        """One image in one call, in whatever layers are sent."""
        try:
            with self._service.track_request("grpc"):
                self._admit(context)
                options = messages.options(request.options)
                given = await self._service.core.classify(request.layers, options)
                return messages.answer(0, given)
        except ServiceError as error:
            await abort(context, error)

    async def DescribeModel(self, request: pb.DescribeModelRequest, context: Context) -> pb.Model:  # noqa: N802
        """Profile and card."""
        try:
            self._admit(context)
            described = self._service.core.description
        except ServiceError as error:
            await abort(context, error)
        return pb.Model(
            name=described.name,
            profile_id=described.profile_id,
            profile=described.packed_profile,
            card=described.short_card,
        )

    def _admit(self, context: Context) -> str:
        metadata = dict(context.invocation_metadata() or ())
        address = context.peer().rpartition(":")[0]  # without the port, which differs between connections
        return self._service.admit(metadata.get("authorization"), address)


class FormerProtocol(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Tells clients of `overtone.v1` plainly that they are too old; gRPC alone would say UNIMPLEMENTED."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """A handler for every method of the former service."""
        if handler_call_details.method.startswith(f"/{FORMER_NAME}/"):
            return grpc.stream_stream_rpc_method_handler(_refuse)
        return None


async def _refuse(upstream: AsyncIterator[bytes], context: Context) -> None:
    await abort(context, OutdatedClient())


async def abort(context: Context, error: ServiceError) -> NoReturn:
    """End a call with an error, and with the time to wait in the form that gRPC's retries read (gRFC A6)."""
    trailing: tuple[tuple[str, str], ...] = ()
    if error.retry_after is not None:
        trailing = (("grpc-retry-pushback-ms", str(round(1000 * error.retry_after))),)
    await context.abort(error.code, error.message, trailing)
    raise AssertionError("abort returned")


class GrpcServer:
    """Listens for gRPC: the service, health, and reflection if it is wanted."""

    def __init__(self, service: Service) -> None:
        settings = service.settings
        self._service = service
        self._server = grpc.aio.server(options=channel_options(settings, shared=service.face is not None))
        self._health = health.aio.HealthServicer()
        self._publishing: set[asyncio.Task[None]] = set()
        stubs.add_CascadeServicer_to_server(CascadeServicer(service), self._server)  # type: ignore[no-untyped-call]
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._server.add_generic_rpc_handlers((FormerProtocol(),))
        if settings.reflection:
            names = (
                NAME,
                health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
                reflection.SERVICE_NAME,
            )
            reflection.enable_server_reflection(names, self._server)
        self.port = self._bind(settings)
        service.watch(self._publish_soon)

    async def start(self) -> None:
        """Open the port. From now on health checks are told whether the service is ready."""
        await self._publish()  # a new health servicer says SERVING
        await self._server.start()

    async def stop(self, grace: float) -> None:
        """Close the port; calls that are still open after `grace` seconds are cut off."""
        await self._server.stop(grace)
        await asyncio.gather(*self._publishing)

    def _publish_soon(self) -> None:
        task = asyncio.get_running_loop().create_task(self._publish(), name="overtone-health")
        self._publishing.add(task)
        task.add_done_callback(self._publishing.discard)

    async def _publish(self) -> None:
        for name in ("", NAME):
            await self._health.set(name, SERVING if self._service.ready else NOT_SERVING)

    def _bind(self, settings: Settings) -> int:
        # Tried here first, because gRPC only says of a taken port that it failed, and logs three lines about it.
        if self._service.face is None:  # else another process has
            listener(settings.host, settings.grpc_port, "gRPC").close()
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        address = f"{host}:{settings.grpc_port}"
        try:
            if settings.tls_certificate is None or settings.tls_key is None:
                return int(self._server.add_insecure_port(address))
            pair = (settings.tls_key.read_bytes(), settings.tls_certificate.read_bytes())
            return int(self._server.add_secure_port(address, grpc.ssl_server_credentials([pair])))
        except (RuntimeError, OSError) as error:
            raise StartError(f"cannot listen on {address} for gRPC: {error}") from error
