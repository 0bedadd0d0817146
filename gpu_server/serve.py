"""Both faces in one event loop, from start to stop."""

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import uvicorn

from overtone.gpu_server.errors import StartError
from overtone.gpu_server.grpc_server import GrpcServer
from overtone.gpu_server.rest_api import create_app
from overtone.gpu_server.service import Phase, Service
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.sockets import check_tls, listener

# For what is left after draining: health watches, idle HTTP connections.
CLOSING = 0.5


@dataclass(frozen=True)
class Running:
    """A server that is ready, and where."""

    service: Service
    host: str
    grpc_port: int
    http_port: int

    def __str__(self) -> str:
        model = self.service.core.card.name
        return (
            f"overtone serving {model}: grpc {self.host}:{self.grpc_port}, http {self.host}:{self.http_port}"
        )


class _Uvicorn(uvicorn.Server):
    """uvicorn without signal handlers of its own: `run` has them, for both faces."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """uvicorn, run and stopped by us."""

    def __init__(self, service: Service) -> None:
        settings = service.settings
        self._socket = listener(settings.host, settings.http_port, "HTTP")
        # Inherited by every connection. asyncio would do it, but not for sockets made without a protocol
        # number; without it each answer on a kept-alive connection waits 40 ms for a delayed acknowledgement.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = int(self._socket.getsockname()[1])
        config = uvicorn.Config(
            create_app(service),
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            ssl_certfile=settings.tls_certificate,
            ssl_keyfile=settings.tls_key,
            # A new connection costs a thin link more than an idle one costs us.
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
        )
        self._server = _Uvicorn(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Serve on the port that is already bound."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]), name="overtone-http")

    async def stop(self) -> None:
        """Close the port and what is still connected."""
        self._server.should_exit = True
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        self._socket.close()


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Running]:
    """A server inside this event loop, ready when entered, drained and stopped when left.

    Raises:
        StartError: a port, a TLS file, the model or the device cannot be had.
    """
    check_tls(settings)
    service = Service(settings)
    grpc_server = GrpcServer(service)
    try:
        rest_api = HttpServer(service)
    except StartError:
        await grpc_server.stop(0)
        raise
    await grpc_server.start()
    await rest_api.start()
    try:
        await service.load()
        await grpc_server.set_serving(True)
        yield Running(service, settings.host, grpc_server.port, rest_api.port)
    finally:
        await _stop(service, grpc_server, rest_api)


async def _stop(service: Service, grpc_server: GrpcServer, rest_api: HttpServer) -> None:
    """Readiness off, pause, go away, drain, faces, worker."""
    loaded = service.ready
    service.phase = Phase.LEAVING if loaded else service.phase
    await grpc_server.set_serving(False)
    if loaded:
        await asyncio.sleep(service.settings.pause)
        await service.drain()
    await asyncio.gather(grpc_server.stop(CLOSING), rest_api.stop())
    await service.stop()


def run(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; a second one ends at once.

    Raises:
        SystemExit: it could not start; why is on standard error.
    """
    try:
        asyncio.run(_run(settings))
    except StartError as error:
        print(f"overtone: {error}", file=sys.stderr)
        raise SystemExit(1) from None


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def asked() -> None:
        if stop.is_set():
            raise SystemExit(130)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # of event loops on Windows
            loop.add_signal_handler(number, asked)
    async with running(settings) as server:
        if not stop.is_set():
            print(server, flush=True)
        await stop.wait()
