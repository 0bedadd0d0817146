"""Sockets as a link needs them: small buffers, so that senders feel back pressure, and deliberate resets."""

import asyncio
import contextlib
import resource
import socket
import struct
from typing import Any

from overtone.link.rate import UnitError

RECEIVE_BUFFER = 32 * 1024
# Standard streams, the event loop, a listener, and whatever the surrounding program has open.
SPARE_FILES = 64
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def endpoint(text: str) -> tuple[str, int]:
    """Host and port of "host:port" or "[v6]:port".

    Raises:
        UnitError: the port is missing or invalid.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise UnitError(f"cannot read the address {text!r}: write HOST:PORT")
    return host.strip("[]") or "127.0.0.1", int(port)


def raise_file_limit(connections: int) -> None:
    """Let this process open as many files as the system allows; a relayed connection needs two.

    Raises:
        OSError: the system's limit is too low for `connections` at once.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    need = 2 * connections + SPARE_FILES
    if hard != resource.RLIM_INFINITY and need > hard:
        raise OSError(
            f"{connections} connections need {need} open files and this system allows {hard}: raise the "
            "limit (ulimit -Hn, or LimitNOFILE of the service), or run several links"
        )
    if soft != resource.RLIM_INFINITY and soft < hard:
        with contextlib.suppress(ValueError, OSError):  # some systems report more than they grant
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def reset(connection: socket.socket) -> None:
    """Close with a reset; has no effect on a closed socket."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    connection.close()


async def bind(address: tuple[str, int]) -> socket.socket:
    """A listening socket, non-blocking."""
    family, resolved = await _resolved(address)
    listener = _socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(resolved)
        listener.listen(4096)
    except OSError:
        listener.close()
        raise
    return listener


async def connect(address: tuple[str, int]) -> socket.socket:
    """A connected socket, non-blocking."""
    family, resolved = await _resolved(address)
    connection = _socket(family)
    try:
        await asyncio.get_running_loop().sock_connect(connection, resolved)
    except BaseException:
        connection.close()
        raise
    return connection


async def _resolved(address: tuple[str, int]) -> tuple[int, Any]:
    """Family and address for a socket; names are resolved in a thread, numeric addresses are not."""
    try:
        found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        found = await asyncio.get_running_loop().getaddrinfo(*address, type=socket.SOCK_STREAM)
    family, _, _, _, resolved = found[0]
    return family, resolved


def _socket(family: int) -> socket.socket:
    """A new socket: non-blocking, without Nagle's delay, with a small receive buffer."""
    new = socket.socket(family, socket.SOCK_STREAM)
    new.setblocking(False)
    new.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    new.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    return new
