"""The gRPC server: grpc.aio with the Cascade service, the Open Inference Protocol, health and reflection."""

import asyncio
from collections.abc import AsyncIterator
from typing import NoReturn

import grpc
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection

from overtone.frequency.ladder import MAX_LAYERS
from overtone.gpu_server.arrival import CANCELLED, Kind
from overtone.gpu_server.description import Description
from overtone.gpu_server.errors import OutdatedClient, ServiceError, StartError
from overtone.gpu_server.grpc import messages
from overtone.gpu_server.grpc.connections import GrpcConnections
from overtone.gpu_server.grpc.session import Session
from overtone.gpu_server.grpc.streams import Context, StreamHandlers
from overtone.gpu_server.image_input import profile_id_of
from overtone.gpu_server.limits.peers import endpoint_of, peer_of
from overtone.gpu_server.limits.rate_limiter import RateLimiter
from overtone.gpu_server.open_inference import grpc as open_inference_grpc
from overtone.gpu_server.service import Service
from overtone.gpu_server.settings import KIB, MIB, Settings
from overtone.gpu_server.sockets import WILDCARDS, addresses, format_address, listeners
from overtone.gpu_server.telemetry import logs
from overtone.gpu_server.tls import ServerTls, name_of_grpc_peer
from overtone.protos import overtone_pb2 as pb
from overtone.protos import overtone_pb2_grpc as stubs

NAME = pb.DESCRIPTOR.services_by_name["Cascade"].full_name
FORMER_NAME = "overtone.v1.Cascade"
# Useless streams that a peer may open at once, however few sessions are allowed: devices retry after errors.
LEAST_BURST = 32
# As what the calls of each method are counted.
KINDS = {
    f"{NAME}.Session": Kind.STREAM,
    f"{NAME}.Classify": Kind.CALL,
    f"{NAME}.DescribeModel": Kind.DESCRIPTION,
    f"{open_inference_grpc.NAME}.ModelInfer": Kind.CALL,
}
# Streams of one connection: a device has one or a few, a proxy many. More wait in the client.
MAX_STREAMS = 128
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def channel_options(
    settings: Settings, max_connections: int, *, shared: bool = False
) -> tuple[tuple[str, int], ...]:
    """gRPC's options for a server with these settings and so many connections."""
    # One message may hold all layers of an image and a little more. Below 1 MiB a payload that is too large is refused
    # by the core, with a message that says so.
    most = max(MIB, MAX_LAYERS * settings.max_payload_bytes + 4 * KIB)
    return (
        ("grpc.max_receive_message_length", most),
        # Otherwise a second server on the same port would share its connections instead of failing.
        ("grpc.so_reuseport", int(shared)),
        # The probe pings after every few messages, to size windows that messages of a kilobyte never fill.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", round(1000 * settings.min_ping_interval)),
        ("grpc.max_connection_age_ms", 20 * 60_000),
        ("grpc.max_connection_age_grace_ms", 60_000),
        ("grpc.max_allowed_incoming_connections", max_connections),
        ("grpc.max_concurrent_streams", MAX_STREAMS),
        # The header of a call has a token and little else.
        ("grpc.max_metadata_size", 8 * KIB),
        ("grpc.absolute_max_metadata_size", 16 * KIB),
        # For TLS and HTTP/2's first settings; without it a connection that says nothing stays for two minutes.
        ("grpc.server_handshake_timeout_ms", round(1000 * settings.header_timeout)),
    )


class CascadeServicer(stubs.CascadeServicer):
    """The methods of `overtone.v2.Cascade`."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def Session(self, upstream: AsyncIterator[pb.Upstream], context: Context) -> None:  # noqa: N802
        """One device's stream."""
        try:
            _begin("Session", context)
            arrival = self._service.arrive("grpc", Kind.STREAM)
            with arrival.ending():
                # Messages are written rather than yielded, so that the cancellation of a call is raised in the session,
                # which cleans up after it.
                session = Session(self._service, context.write, self.admit(context))
                await session.run(upstream)
                if session.abandoned:
                    arrival.end(CANCELLED)
        except ServiceError as error:
            await abort(context, error)

    async def Classify(self, request: pb.ClassifyRequest, context: Context) -> pb.Answer:  # noqa: N802
        """The answer for one image, from the layers that the request has."""
        try:
            _begin("Classify", context)
            with self._service.track_request("grpc"):
                owner = self.admit(context)
                account = self._service.access.account(owner)
                account.take_image()
                account.spend_bytes(sum(map(len, request.layers)))
                options = messages.options(request.options, request)
                core = self._service.resolve(options.model).pick(profile_id_of(request.layers))
                answer = await core.classify(request.layers, options, peer=owner)
                unnamed = range(len(core.profile.labels)) if request.options.labels else ()
                return messages.answer(0, answer, unnamed)
        except ServiceError as error:
            await abort(context, error)

    async def DescribeModel(self, request: pb.DescribeModelRequest, context: Context) -> pb.Model:  # noqa: N802
        """Profile and card, or a part of the profile, or the labels."""
        try:
            _begin("DescribeModel", context)
            with self._service.arrive("grpc", Kind.DESCRIPTION).ending():
                self.admit(context)
                return await _model(self._service.resolve(request.model).served.description, request)
        except ServiceError as error:
            await abort(context, error)

    def admit(self, context: Context) -> str:
        """Let a client in, and name it.

        Raises:
            Unauthenticated: it is not let in.
        """
        metadata = dict(context.invocation_metadata() or ())
        host, _ = endpoint_of(context.peer())
        certificate = name_of_grpc_peer(context.auth_context())
        owner = self._service.admit(metadata.get("authorization"), peer_of(host), certificate)
        logs.name_owner(owner)
        return owner


def _begin(method: str, context: Context) -> None:
    """Give the call an id, which the client gets in the trailing metadata, where it costs no message of its own."""
    metadata = context.invocation_metadata() or ()
    info = logs.begin({key: value for key, value in metadata if isinstance(value, str)}, method)
    context.set_trailing_metadata(((logs.HEADER, info.id),))


async def _model(described: Description, request: pb.DescribeModelRequest) -> pb.Model:
    model = pb.Model(name=described.name, profile_id=described.profile_id)
    if request.HasField("part"):
        asked = request.part
        quality = asked.quality if asked.HasField("quality") else None
        share = described.profile_parts.exit_share(asked.operating_point, quality)
        model.part = await asyncio.to_thread(
            described.profile_parts.packed, quality, asked.after, asked.layers
        )
        if share is not None:
            model.exit_share = share
    elif request.labels:
        model.labels = described.packed_labels
    else:
        model.profile, model.card = described.packed_profile, described.short_card
    return model


class FormerProtocol(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Tells clients of `overtone.v1` that they are outdated; gRPC alone would say UNIMPLEMENTED."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """A handler for every method of the former service."""
        if handler_call_details.method.startswith(f"/{FORMER_NAME}/"):
            return grpc.stream_stream_rpc_method_handler(self._refuse)
        return None

    async def _refuse(self, upstream: AsyncIterator[bytes], context: Context) -> None:
        self._service.arrive("grpc", Kind.STREAM).end(OutdatedClient.code.name)
        await abort(context, OutdatedClient())


async def abort(context: Context, error: ServiceError) -> NoReturn:
    """End a call with an error, and with the time to wait in the form that gRPC's retries read (gRFC A6)."""
    info = logs.current()
    trailing: tuple[tuple[str, str], ...] = () if info is None else ((logs.HEADER, info.id),)
    if error.retry_after is not None:
        trailing += (("grpc-retry-pushback-ms", str(round(1000 * error.retry_after))),)
    await context.abort(error.code, error.message, trailing)
    raise AssertionError("abort returned")


class GrpcServer:
    """A gRPC server on the port of the settings, which is bound when this object is made.

    Args:
        service: what is served.
        tls: certificates; None for connections without TLS.
        max_connections: of this port; None takes that of the settings.

    Attributes:
        port: the number of the port.

    Raises:
        StartError: the port cannot be used.
    """

    def __init__(
        self, service: Service, tls: ServerTls | None = None, max_connections: int | None = None
    ) -> None:
        settings = service.settings
        max_connections = max_connections or settings.max_connections
        self._service = service
        self._tls = tls
        self._server = grpc.aio.server(
            options=channel_options(settings, max_connections, shared=service.shares_ports)
        )
        self._health = health.aio.HealthServicer()
        self._publishing: set[asyncio.Task[None]] = set()
        self._connections = self._watched(service, max_connections)
        self._server.add_generic_rpc_handlers((self._streams(service),))
        self._server.add_generic_rpc_handlers((FormerProtocol(service),))
        open_to_all = not service.access.restricted
        if open_to_all if settings.reflection is None else settings.reflection:
            names = (
                NAME,
                open_inference_grpc.NAME,
                health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
                reflection.SERVICE_NAME,
            )
            reflection.enable_server_reflection(names, self._server)
        self.port = self._bind(settings)
        self._connections.ports.add(self.port)
        service.watch(self._publish_soon)

    async def start(self) -> None:
        """Open the port and publish by health checks whether the service is ready."""
        await self._publish()  # a new health servicer says SERVING
        await self._server.start()
        self._connections.start()

    async def stop(self, grace: float) -> None:
        """Close the port; calls that are still open after `grace` seconds are cut off."""
        await self._connections.stop()
        await self._server.stop(grace)
        await asyncio.gather(*self._publishing)

    @staticmethod
    def _watched(service: Service, max_connections: int) -> GrpcConnections:
        settings, metrics = service.settings, service.metrics
        return GrpcConnections(
            max_connections,
            settings.unfinished_bytes,
            settings.peer_share,
            lambda limit, scope: metrics.refused(limit)(scope),
        )

    def _streams(self, service: Service) -> StreamHandlers:
        settings, cascade = service.settings, CascadeServicer(service)
        burst = max(LEAST_BURST, int(settings.max_sessions * settings.peer_share))
        return StreamHandlers(
            {
                pb.DESCRIPTOR.services_by_name["Cascade"]: cascade,
                open_inference_grpc.DESCRIPTOR: open_inference_grpc.OpenInferenceServicer(
                    service, cascade.admit, abort
                ),
                health_pb2.DESCRIPTOR.services_by_name["Health"]: self._health,
            },
            self._connections,
            RateLimiter(settings.stream_rate, burst),
            settings.body_timeout,
            service.metrics.refused("streams"),
            abort,
            self._count_unserved,
        )

    def _count_unserved(self, method: str, error: ServiceError) -> None:
        """Count a call that was refused before it reached its method."""
        if kind := KINDS.get(method):
            self._service.arrive("grpc", kind).end(error.code.name)

    def _publish_soon(self) -> None:
        task = asyncio.get_running_loop().create_task(self._publish(), name="overtone-health")
        self._publishing.add(task)
        task.add_done_callback(self._publishing.discard)

    async def _publish(self) -> None:
        for name in ("", NAME, open_inference_grpc.NAME):
            await self._health.set(name, SERVING if self._service.ready else NOT_SERVING)

    def _bind(self, settings: Settings) -> int:
        # Bound here first: of a port that is taken, gRPC only says that it failed, and logs three lines about it.
        if not self._service.shares_ports:  # else other processes listen on the port, which is no error
            for each in listeners(settings.host, settings.grpc_port, "gRPC"):
                each.close()
        port = settings.grpc_port
        # Of the wildcards one is enough: gRPC listens on both.
        for host in addresses(settings.host)[: 1 if settings.host in WILDCARDS else None]:
            port = self._bind_one(format_address(host, port), settings)
        return port

    def _bind_one(self, address: str, settings: Settings) -> int:
        try:
            if self._tls is None:
                return int(self._server.add_insecure_port(address))
            return int(self._server.add_secure_port(address, self._tls.grpc_credentials()))
        except (RuntimeError, OSError) as error:
            raise StartError(f"cannot listen on {address} for gRPC: {error}") from error
