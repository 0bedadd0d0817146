"""The gRPC and the HTTP server in one event loop, from start to stop."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from overtone.gpu_server import logs
from overtone.gpu_server.admin_api import create_admin_app
from overtone.gpu_server.errors import StartError
from overtone.gpu_server.grpc_server import GrpcServer
from overtone.gpu_server.http_connections import HttpConnections
from overtone.gpu_server.http_server import HttpServer
from overtone.gpu_server.open_files import OncePerMinute, connections, raise_limit
from overtone.gpu_server.reload import Reloader, reloading
from overtone.gpu_server.rest_api import create_app
from overtone.gpu_server.service import Phase, Service
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.sockets import WILDCARDS, exposure, written
from overtone.gpu_server.tls import ServerTls

log = logging.getLogger(__name__)

# Seconds for what is still open after draining: watchers of health, idle HTTP connections.
CLOSING = 0.5
# Seconds that the whole end may take after pausing and draining. Together they stay below Docker's ten.
ENDING = 2.0


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


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Running]:
    """A server in this event loop: ready on entering, drained and stopped on leaving.

    Raises:
        StartError: a port, a TLS file, the model or the device cannot be used.
    """
    tls = ServerTls(settings) if settings.tls_certificate is not None else None
    if warning := exposure(settings):
        log.warning(warning)
    most = connections(settings.max_connections, raise_limit())
    service = Service(settings)
    grpc_server = GrpcServer(service, tls, most)
    http_servers: list[HttpServer] = []
    try:
        app = create_app(service)
        counted = _counted(service, most)
        http_servers.append(HttpServer(app, settings.host, settings.http_port, counted, tls))
        if settings.admin_port is not None:
            pages, counted = create_admin_app(service, app), _counted(service, most)
            http_servers.append(
                HttpServer(pages, settings.admin_host, settings.admin_port, counted, what="admin")
            )
    except StartError:
        await asyncio.gather(grpc_server.stop(0), *(server.stop() for server in http_servers))
        raise
    await grpc_server.start()
    for server in http_servers:
        await server.start()
    try:
        await service.load()
        http_port, admin_port = http_servers[0].port, None if len(http_servers) == 1 else http_servers[1].port
        ports = (grpc_server.port, http_port, admin_port)
        async with reloading(service, tls) as reload:
            yield Running(service, service.core.card.name, settings.host, *ports, reload)
    finally:
        await _stop(service, grpc_server, http_servers)


def _counted(service: Service, most: int) -> HttpConnections:
    settings = service.settings
    refused = service.metrics.refused("connections")
    return HttpConnections(most, settings.peer_share, settings.header_timeout, refused)


async def _stop(service: Service, grpc_server: GrpcServer, http_servers: list[HttpServer]) -> None:
    """Not ready, pause, drain, then close the servers and stop the engine."""
    if service.phase is Phase.READY:
        service.phase = Phase.LEAVING
        await asyncio.sleep(service.settings.pause)
        await service.drain()
    await asyncio.gather(grpc_server.stop(CLOSING), *(server.stop() for server in http_servers))
    await service.stop()


def run(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; a second signal ends the process at once.

    Raises:
        SystemExit: the server cannot start; the reason is on standard error.
    """
    logs.configure(settings.log_level, settings.log_format, settings.access_log)
    last_resort = threading.Timer(settings.pause + settings.drain + ENDING, _give_up)
    last_resort.daemon = True
    logging.getLogger("asyncio").addFilter(OncePerMinute())
    try:
        asyncio.run(_run(settings, last_resort.start))
    except StartError as error:
        print(f"overtone: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    finally:
        last_resort.cancel()
        # The process is about to end; searching its garbage first would take a busy machine seconds.
        gc.freeze()


def _give_up() -> None:
    """End the process, even if a thread hangs in a driver or the event loop stands still."""
    log.critical("still not stopped; what was in flight is lost")
    os._exit(1)


async def _run(settings: Settings, on_stop: Callable[[], None]) -> None:
    stop, again = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set():
            raise SystemExit(130)
        stop.set()
        on_stop()

    with contextlib.suppress(NotImplementedError):  # on Windows event loops have no signal handlers
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, on_signal)
        loop.add_signal_handler(signal.SIGHUP, again.set)
    async with running(settings) as server:
        # What was made so far stays. Without this, a collection of all of torch's objects stops the loop for a third of
        # a second whenever a few thousand objects are new, as they are when many sessions are opened.
        gc.collect()
        gc.freeze()
        if not stop.is_set():
            lines = [server, *([f"  see it: {server.page}"] if server.page else [])]
            print(*lines, sep="\n", flush=True)
        reloading = asyncio.create_task(_reload_whenever(again, server), name="overtone-hangup")
        await stop.wait()
        reloading.cancel()


async def _reload_whenever(again: asyncio.Event, server: Running) -> None:
    while True:
        await again.wait()
        again.clear()
        await server.reload.everything()
