"""Sockets as a link wants them: small buffers, so that senders feel it, and resets on purpose."""

import asyncio
import contextlib
import socket
import struct

from benchmarks.rate import UnitError

RECEIVE_BUFFER = 32 * 1024
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def endpoint(text: str) -> tuple[str, int]:
    """Host and port of "host:port" or "[v6]:port".

    Raises:
        UnitError: there is no port, or it is not one.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise UnitError(f"cannot read the address {text!r}: write HOST:PORT")
    return host.strip("[]") or "127.0.0.1", int(port)


def reset(connection: socket.socket) -> None:
    """Close with a reset; of no effect on one closed already."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    connection.close()


async def bind(address: tuple[str, int]) -> socket.socket:
    """A listening socket, non-blocking."""
    family, *_, place = (await asyncio.get_running_loop().getaddrinfo(*address, type=socket.SOCK_STREAM))[0]
    listener = _socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener


async def connect(address: tuple[str, int]) -> socket.socket:
    """A connected socket, non-blocking."""
    loop = asyncio.get_running_loop()
    family, *_, place = (await loop.getaddrinfo(*address, type=socket.SOCK_STREAM))[0]
    connection = _socket(family)
    try:
        await loop.sock_connect(connection, place)
    except BaseException:
        connection.close()
        raise
    return connection


def _socket(family: int) -> socket.socket:
    """Non-blocking, without Nagle's delay, with a small receive buffer."""
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setblocking(False)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    return made
