"""One server process, or one face: the gRPC and HTTP servers around a `Service`, from start to stop."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.types import ASGIApp

from overtone.gpu_server.engine.inference import Network
from overtone.gpu_server.errors import StartError
from overtone.gpu_server.grpc.server import GrpcServer
from overtone.gpu_server.reload import Reloader, reloading
from overtone.gpu_server.rest.admin import create_admin_app
from overtone.gpu_server.rest.api import create_app
from overtone.gpu_server.rest.connections import HttpConnections
from overtone.gpu_server.rest.server import HttpServer
from overtone.gpu_server.service import Phase, Service
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.sockets import WILDCARDS, exposure_warnings, format_address, listeners
from overtone.gpu_server.system.open_files import allowed_connections, raise_limit
from overtone.gpu_server.tls import ServerTls
from overtone.gpu_server.workers.face import Face
from overtone.gpu_server.workers.forwarding import ForwardedRequests, RequestForwarding

log = logging.getLogger(__name__)

# Seconds after draining for calls and connections that are still open: watchers of health, idle HTTP connections.
CLOSE_SECONDS = 0.5


@dataclass(frozen=True)
class Running:
    """A server that is ready.

    Attributes:
        service: what the servers share.
        model: the names of the models, for people.
        host: the address on which it listens.
        grpc_port: its gRPC port.
        http_port: its HTTP port.
        admin_port: the administrators' port; None if there is none of its own.
        reload: reads its files again.
    """

    service: Service
    model: str
    host: str
    grpc_port: int
    http_port: int
    admin_port: int | None
    reload: Reloader

    def __str__(self) -> str:
        grpc, http = format_address(self.host, self.grpc_port), format_address(self.host, self.http_port)
        admin = ""
        if self.admin_port is not None:
            admin = f", admin {format_address(self.service.settings.admin_host, self.admin_port)}"
        return f"overtone serving {self.model}: grpc {grpc}, http {http}{admin}"

    @property
    def page(self) -> str | None:
        """The address of the live page, if there is one, as somebody at this machine would open it."""
        settings = self.service.settings
        if not settings.page:
            return None
        scheme = "http" if settings.tls_certificate is None else "https"
        host = "localhost" if self.host in WILDCARDS else self.host
        return f"{scheme}://{format_address(host, self.http_port)}/"

    @property
    def lines(self) -> str:
        """What a server prints when it is ready."""
        return f"{self}\n  see it: {self.page}" if self.page else str(self)


@asynccontextmanager
async def running(
    settings: Settings, face: Face | None = None, networks: Sequence[Network] = ()
) -> AsyncIterator[Running]:
    """A server in this event loop: ready on entering, drained and stopped on leaving.

    Args:
        settings: of the server.
        face: which of several processes this is; None if it is the only one.
        networks: run the batches in place of networks in this process; those of engines on other machines.

    Raises:
        StartError: a port, a TLS file, the model or the device cannot be used.
    """
    tls = ServerTls(settings) if settings.tls_certificate is not None else None
    for warning in exposure_warnings(settings) if face is None else ():
        log.warning(warning)
    most = _most_connections(settings, face)
    service = Service(settings, face, networks)
    grpc_server = GrpcServer(service, tls, most)
    http = _Http()
    try:
        http.open(service, tls, most)
    except StartError:
        await asyncio.gather(grpc_server.stop(0), http.stop())
        raise
    await grpc_server.start()
    await http.start()
    try:
        await service.load()
        ports = (grpc_server.port, http.port, http.admin_port)
        async with reloading(service, tls) as reload:
            yield Running(service, ", ".join(service.repository.names), settings.host, *ports, reload)
    finally:
        await _stop(service, grpc_server, http)


def _most_connections(settings: Settings, face: Face | None) -> int:
    files = raise_limit()
    if face is not None and files is not None:
        files //= 2  # the other half is for connections to and from other faces
    return allowed_connections(settings.max_connections, files)


class _Http:
    """All HTTP servers: the API, the administrators' port, and the socket for requests from other faces."""

    def __init__(self) -> None:
        self._servers: list[HttpServer] = []
        self._forwarding: RequestForwarding | None = None
        self.port = 0
        self.admin_port: int | None = None

    def open(self, service: Service, tls: ServerTls | None, most: int) -> None:
        """Open the ports.

        Raises:
            StartError: a port cannot be used.
        """
        settings, face, api = service.settings, service.face, create_app(service)
        shared = service.shares_ports
        public_app: ASGIApp = api
        if face is not None:
            public_app = self._forwarding = RequestForwarding(api, face, service)
        public = listeners(settings.host, settings.http_port, "HTTP", shared=shared)
        self.port = self._add(HttpServer(public_app, public, _limited_connections(service, most), tls))
        if face is not None:
            others = _limited_connections(service, most, share=1.0)
            self._add(HttpServer(ForwardedRequests(api), [face.listener()], others))
        if settings.admin_port is not None and (face is None or face.first):
            own = listeners(settings.admin_host, settings.admin_port, "admin", shared=shared)
            pages = create_admin_app(service, api)
            self.admin_port = self._add(HttpServer(pages, own, _limited_connections(service, most)))

    async def start(self) -> None:
        """Serve."""
        for server in self._servers:
            await server.start()

    async def stop(self) -> None:
        """Close the ports and the connections that are still open."""
        await asyncio.gather(*(server.stop() for server in self._servers))
        if self._forwarding is not None:
            await self._forwarding.close()

    def _add(self, server: HttpServer) -> int:
        self._servers.append(server)
        return server.port


def _limited_connections(service: Service, most: int, share: float | None = None) -> HttpConnections:
    settings = service.settings
    refused = service.metrics.refused("connections")
    return HttpConnections(most, share or settings.peer_share, settings.header_timeout, refused)


async def _stop(service: Service, grpc_server: GrpcServer, http: _Http) -> None:
    """Stop being ready, pause for load balancers, drain, then close the servers and stop the engines."""
    if service.phase is Phase.READY:
        service.phase = Phase.LEAVING
        await asyncio.sleep(service.settings.pause)
        await service.drain()
    await asyncio.gather(grpc_server.stop(CLOSE_SECONDS), http.stop())
    await service.stop()
