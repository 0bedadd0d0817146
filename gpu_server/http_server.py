"""Listens for HTTP, with uvicorn."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
from fastapi import FastAPI

from overtone.gpu_server.sockets import listener
from overtone.gpu_server.tls import ServerTls, name_of_peer


class _Uvicorn(uvicorn.Server):
    """uvicorn without its signal handlers, because `run` handles signals for all servers."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """An application on a port.

    Raises:
        StartError: the port cannot be used.
    """

    def __init__(
        self, app: FastAPI, host: str, port: int, tls: ServerTls | None = None, what: str = "HTTP"
    ) -> None:
        self._socket = listener(host, port, what)
        # Every connection inherits this. asyncio sets it too, but not for sockets that were made without a protocol
        # number; without it each answer on a kept-alive connection waits 40 ms for a delayed acknowledgement.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = int(self._socket.getsockname()[1])
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            # Which server it is tells a device nothing, and costs bytes with every answer.
            server_header=False,
            # A new connection costs a thin link more than an idle one costs the server.
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
        )
        config.load()
        if tls is not None:
            config.ssl = tls.http_context()
            config.http_protocol_class = _knowing_certificates(config.http_protocol_class)
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


def _knowing_certificates(protocol: Any) -> Any:
    """A protocol of uvicorn that puts the name in the client's certificate into the state of its requests."""

    class Knowing(protocol):  # type: ignore[misc]
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            name = name_of_peer(transport.get_extra_info("ssl_object"))
            self.app_state: dict[str, Any] = {**self.app_state, "certificate": name}

    return Knowing
