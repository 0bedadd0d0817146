"""The gRPC and the HTTP server in one event loop, from start to stop."""

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
from overtone.gpu_server.sockets import WILDCARDS, exposure, listeners, written
from overtone.gpu_server.system.open_files import connections, raise_limit
from overtone.gpu_server.tls import ServerTls
from overtone.gpu_server.workers.face import Face
from overtone.gpu_server.workers.forwarding import Forwarded, Forwarding

log = logging.getLogger(__name__)

# Seconds for what is still open after draining: watchers of health, idle HTTP connections.
CLOSING = 0.5


@dataclass(frozen=True)
class Running:
    """A server that is ready, and its ports."""

    service: Service
    model: str
    host: str
    grpc_port: int
    http_port: int
    admin_port: int | None
    reload: Reloader

    def __str__(self) -> str:
        grpc, http = written(self.host, self.grpc_port), written(self.host, self.http_port)
        admin = ""
        if self.admin_port is not None:
            admin = f", admin {written(self.service.settings.admin_host, self.admin_port)}"
        return f"overtone serving {self.model}: grpc {grpc}, http {http}{admin}"

    @property
    def page(self) -> str | None:
        """The address of the live page, if there is one, as somebody at this machine would open it."""
        settings = self.service.settings
        if not settings.page:
            return None
        scheme = "http" if settings.tls_certificate is None else "https"
        host = "localhost" if self.host in WILDCARDS else self.host
        return f"{scheme}://{written(host, self.http_port)}/"

    @property
    def lines(self) -> str:
        """What a server prints when it is ready."""
        return f"{self}\n  see it: {self.page}" if self.page else str(self)


@asynccontextmanager
async def running(
    settings: Settings, face: Face | None = None, networks: Sequence[Network] = ()
) -> AsyncIterator[Running]:
    """A server in this event loop, or one of its faces: ready on entering, drained and stopped on leaving.

    Its batches are run by `networks`, where there are any: those of engines on other machines.

    Raises:
        StartError: a port, a TLS file, the model or the device cannot be used.
    """
    tls = ServerTls(settings) if settings.tls_certificate is not None else None
    for warning in exposure(settings) if face is None else ():
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
        files //= 2  # the others are for connections to other faces, and from them
    return connections(settings.max_connections, files)


class _Http:
    """Everything that listens for HTTP: the API, the administrators' pages, and what comes from other faces."""

    def __init__(self) -> None:
        self._servers: list[HttpServer] = []
        self._forwarding: Forwarding | None = None
        self.port = 0
        self.admin_port: int | None = None

    def open(self, service: Service, tls: ServerTls | None, most: int) -> None:
        """Open the ports.

        Raises:
            StartError: one cannot be used.
        """
        settings, face, api = service.settings, service.face, create_app(service)
        shared = service.shares_ports
        front: ASGIApp = api
        if face is not None:
            front = self._forwarding = Forwarding(api, face, service)
        public = listeners(settings.host, settings.http_port, "HTTP", shared=shared)
        self.port = self._add(HttpServer(front, public, _counted(service, most), tls))
        if face is not None:
            others = _counted(service, most, share=1.0)
            self._add(HttpServer(Forwarded(api), [face.listener()], others))
        if settings.admin_port is not None and (face is None or face.first):
            own = listeners(settings.admin_host, settings.admin_port, "admin", shared=shared)
            pages = create_admin_app(service, api)
            self.admin_port = self._add(HttpServer(pages, own, _counted(service, most)))

    async def start(self) -> None:
        """Serve."""
        for server in self._servers:
            await server.start()

    async def stop(self) -> None:
        """Close the ports and what is still connected."""
        await asyncio.gather(*(server.stop() for server in self._servers))
        if self._forwarding is not None:
            await self._forwarding.close()

    def _add(self, server: HttpServer) -> int:
        self._servers.append(server)
        return server.port


def _counted(service: Service, most: int, share: float | None = None) -> HttpConnections:
    settings = service.settings
    refused = service.metrics.refused("connections")
    return HttpConnections(most, share or settings.peer_share, settings.header_timeout, refused)


async def _stop(service: Service, grpc_server: GrpcServer, http: _Http) -> None:
    """Not ready, pause, drain, then close the servers and stop the engine."""
    if service.phase is Phase.READY:
        service.phase = Phase.LEAVING
        await asyncio.sleep(service.settings.pause)
        await service.drain()
    await asyncio.gather(grpc_server.stop(CLOSING), http.stop())
    await service.stop()
