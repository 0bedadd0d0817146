"""The gRPC face: grpc.aio around the session and the core."""

from collections.abc import AsyncIterator
from typing import NoReturn

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from overtone.gpu_server import messages
from overtone.gpu_server.errors import ServiceError, StartError
from overtone.gpu_server.service import Service
from overtone.gpu_server.session import Session
from overtone.gpu_server.settings import MIB, Settings
from overtone.gpu_server.sockets import listener
from overtone.protos import overtone_pb2 as pb
from overtone.protos import overtone_pb2_grpc as stubs

NAME = pb.DESCRIPTOR.services_by_name["Cascade"].full_name
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

OPTIONS = (
    ("grpc.max_receive_message_length", MIB),
    # Without this a second server on the same port would share its connections instead of failing.
    ("grpc.so_reuseport", 0),
    # Pings at every few messages, to size windows that messages of a kilobyte never fill.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 30_000),
    ("grpc.max_connection_age_ms", 20 * 60_000),
    ("grpc.max_connection_age_grace_ms", 60_000),
)


class CascadeServicer(stubs.CascadeServicer):
    """`overtone.v1.Cascade`."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def Session(  # noqa: N802 - named in the contract
        self, upstream: AsyncIterator[pb.Upstream], context: grpc.aio.ServicerContext
    ) -> None:
        """One device's stream."""
        try:
            self._admit(context)
            # Written rather than yielded: a cancelled call is then raised here, where it can be cleaned up.
            await Session(self._service, context.write).run(upstream)
        except ServiceError as error:
            await abort(context, error)

    async def Classify(  # noqa: N802
        self, request: pb.ClassifyRequest, context: grpc.aio.ServicerContext
    ) -> pb.Answer:
        """Both payloads in one call."""
        try:
            with self._service.track_request("grpc"):
                self._admit(context)
                options = messages.options(request.options)
                given = await self._service.core.classify(request.low, request.high, options)
                return messages.answer(0, given)
        except ServiceError as error:
            await abort(context, error)

    async def DescribeModel(  # noqa: N802
        self, request: pb.DescribeModelRequest, context: grpc.aio.ServicerContext
    ) -> pb.Model:
        """Profile and card."""
        try:
            self._admit(context)
            core = self._service.core
        except ServiceError as error:
            await abort(context, error)
        profile = core.profile
        card = core.describe(short=True)
        return pb.Model(name=core.card.name, profile_id=profile.id, profile=profile.pack(), card=card)

    def _admit(self, context: grpc.aio.ServicerContext) -> str:
        metadata = dict(context.invocation_metadata() or ())
        return self._service.admit(metadata.get("authorization"), context.peer())


async def abort(context: grpc.aio.ServicerContext, error: ServiceError) -> NoReturn:
    """End a call with an error of the family, and when to try again as gRPC's retries read it (gRFC A6)."""
    trailing: tuple[tuple[str, str], ...] = ()
    if error.retry_after is not None:
        trailing = (("grpc-retry-pushback-ms", str(round(1000 * error.retry_after))),)
    await context.abort(error.code, error.message, trailing)
    raise AssertionError("abort returned")


class GrpcServer:
    """The server: service, health and, if wanted, reflection."""

    def __init__(self, service: Service) -> None:
        settings = service.settings
        self._server = grpc.aio.server(options=OPTIONS)
        self._health = health.aio.HealthServicer()
        stubs.add_CascadeServicer_to_server(CascadeServicer(service), self._server)  # type: ignore[no-untyped-call]
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if settings.reflection:
            names = (
                NAME,
                health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
                reflection.SERVICE_NAME,
            )
            reflection.enable_server_reflection(names, self._server)
        self.port = self._bind(settings)

    async def start(self) -> None:
        """Open the port; health says NOT_SERVING until told otherwise."""
        # The health servicer is born SERVING.
        await self.set_serving(False)
        await self._server.start()

    async def set_serving(self, serving: bool) -> None:
        """What health checks are told."""
        status = SERVING if serving else NOT_SERVING
        for name in ("", NAME):
            await self._health.set(name, status)

    async def stop(self, grace: float) -> None:
        """Close the port; calls still open after `grace` seconds are cut."""
        await self._server.stop(grace)

    def _bind(self, settings: Settings) -> int:
        # Tried first: gRPC says of a port that is taken only that it failed, and that on three lines more.
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
