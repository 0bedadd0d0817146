"""The gRPC and the HTTP server in one event loop, from start to stop."""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from overtone.gpu_server import loops
from overtone.gpu_server.errors import StartError
from overtone.gpu_server.face import Face
from overtone.gpu_server.forwarding import Forwarding
from overtone.gpu_server.grpc_server import GrpcServer
from overtone.gpu_server.rest_api import create_app
from overtone.gpu_server.service import Phase, Service
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.sockets import check_tls, exposure, listener
from overtone.gpu_server.workers import run_workers, worker_count

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

    def __str__(self) -> str:
        grpc, http = f"{self.host}:{self.grpc_port}", f"{self.host}:{self.http_port}"
        return f"overtone serving {self.model}: grpc {grpc}, http {http}"


class _Uvicorn(uvicorn.Server):
    """uvicorn without its signal handlers, because `run` handles signals for both servers."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """Listens for HTTP, with uvicorn."""

    def __init__(self, service: Service) -> None:
        settings = service.settings
        face = service.face
        self._socket = listener(settings.host, settings.http_port, "HTTP", shared=face is not None)
        # Every connection inherits this. asyncio sets it too, but not for sockets that were made without a protocol
        # number; without it each answer on a kept-alive connection waits 40 ms for a delayed acknowledgement.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = int(self._socket.getsockname()[1])
        app = create_app(service)
        self._sockets = [self._socket]
        self._forwarding = None if face is None else Forwarding(app, face, settings)
        if face is not None:
            self._sockets.append(_unix_listener(face.socket(face.number)))
        config = uvicorn.Config(
            self._forwarding or app,
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            ssl_certfile=settings.tls_certificate,
            ssl_keyfile=settings.tls_key,
            # A new connection costs a thin link more than an idle one costs the server.
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
        )
        self._server = _Uvicorn(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Serve on the port that is already bound."""
        self._task = asyncio.create_task(self._server.serve(sockets=self._sockets), name="overtone-http")

    async def stop(self) -> None:
        """Close the port and what is still connected."""
        self._server.should_exit = True
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        for each in self._sockets:
            each.close()
        if self._forwarding is not None:
            await self._forwarding.close()


def _unix_listener(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)  # of a process that was here before
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    found.bind(str(path))
    found.listen(2048)
    return found


@asynccontextmanager
async def running(settings: Settings, face: Face | None = None) -> AsyncIterator[Running]:
    """A server in this event loop, or one of its faces: ready on entering, drained and stopped on leaving.

    Raises:
        StartError: a port, a TLS file, the model or the device cannot be used.
    """
    if face is None:
        check_tls(settings)
        if warning := exposure(settings):
            log.warning(warning)
    service = Service(settings, face)
    grpc_server = GrpcServer(service)
    try:
        http_server = HttpServer(service)
    except StartError:
        await grpc_server.stop(0)
        raise
    await grpc_server.start()
    await http_server.start()
    try:
        await service.load()
        model = service.core.card.name
        yield Running(service, model, settings.host, grpc_server.port, http_server.port)
    finally:
        await _stop(service, grpc_server, http_server)


async def _stop(service: Service, grpc_server: GrpcServer, http_server: HttpServer) -> None:
    """Not ready, pause, drain, then close the servers and stop the engine."""
    if service.phase is Phase.READY:
        service.phase = Phase.LEAVING
        await asyncio.sleep(service.settings.pause)
        await service.drain()
    await asyncio.gather(grpc_server.stop(CLOSING), http_server.stop())
    await service.stop()


def run(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; a second signal ends the process at once.

    Raises:
        SystemExit: the server cannot start; the reason is on standard error.
    """
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        if (count := worker_count(settings)) > 1:
            run_workers(settings, count)
        else:
            loops.run(_run(settings))
    except StartError as error:
        print(f"overtone: {error}", file=sys.stderr)
        raise SystemExit(1) from None


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set():
            raise SystemExit(130)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # on Windows event loops have no signal handlers
            loop.add_signal_handler(number, on_signal)
    async with running(settings) as server:
        if not stop.is_set():
            print(server, flush=True)
        await stop.wait()
