"""An HTTP server: uvicorn on sockets that are already bound, with limited connections."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from overtone.gpu_server.rest.connections import HttpConnections, LimitedHttp
from overtone.gpu_server.sockets import BACKLOG
from overtone.gpu_server.tls import ServerTls, name_of_peer

# New connections that are accepted before other tasks of the event loop run.
ACCEPTED_AT_ONCE = 32


class _Uvicorn(uvicorn.Server):
    """uvicorn without its signal handlers, because `run` handles signals for all servers."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and let more connections wait than are accepted in one turn of the event loop."""
        await super().startup(sockets)
        for each in sockets or ():
            each.listen(BACKLOG)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """Serves an application on some sockets.

    Args:
        app: the application.
        sockets: bound sockets, which the server closes when it stops.
        connections: limits the connections.
        tls: certificates; None for connections without TLS.

    Attributes:
        port: the number of the port; 0 for a Unix socket.
    """

    def __init__(
        self,
        app: ASGIApp,
        sockets: Sequence[socket.socket],
        connections: HttpConnections,
        tls: ServerTls | None = None,
    ) -> None:
        self._sockets = list(sockets)
        internet = [each for each in self._sockets if each.family != socket.AF_UNIX]
        # Every connection inherits this. asyncio sets it too, but not for sockets that were made without a protocol
        # number; without it each answer on a kept-alive connection waits 40 ms for a delayed acknowledgement.
        for each in internet:
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = int(internet[0].getsockname()[1]) if internet else 0
        connections.bans.listeners += internet
        protocol = LimitedHttp if tls is None else _knowing_certificates(LimitedHttp)
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            http=partial(protocol, connections),  # type: ignore[arg-type]
            backlog=ACCEPTED_AT_ONCE,
            # Which server it is tells a device nothing, and costs bytes with every answer.
            server_header=False,
            # A new connection costs a thin link more than an idle one costs the server.
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
        )
        config.load()
        if tls is not None:
            config.ssl = tls.http_context()
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


def _knowing_certificates(protocol: Any) -> Any:
    """A protocol of uvicorn that puts the name in the client's certificate into the state of its requests."""

    class Knowing(protocol):  # type: ignore[misc]
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            name = name_of_peer(transport.get_extra_info("ssl_object"))
            self.app_state: dict[str, Any] = {**self.app_state, "certificate": name}

    return Knowing
