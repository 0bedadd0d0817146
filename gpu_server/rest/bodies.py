"""Reading bodies of HTTP requests, limited in size, number and time, and cancellation when a client disconnects."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from overtone.frequency import split
from overtone.gpu_server import errors
from overtone.gpu_server.core import Core
from overtone.gpu_server.image_input import service_errors
from overtone.gpu_server.limits.quota import Account
from overtone.gpu_server.service import Service

T = TypeVar("T")

# Version 2 and layer 0: the first byte of a first layer's payload. In a body it comes after a size.
FORMER_START = b"\x20"
# Bytes of a body that lie together in memory.
PIECE = 64 * 1024


@asynccontextmanager
async def received(request: Request, limit: int, peer: str = "") -> AsyncIterator[bytes]:
    """The body, refused as soon as it is known to exceed `limit` bytes; counted as held by `peer` while inside.

    Raises:
        TooLarge: it exceeds the limit.
        TooSlow: it did not arrive in time.
        Overloaded: too many bodies are held, in all or by this peer, or the client has used up its quota of bytes.
        ClientDisconnected: the client disconnected before the end.
    """
    service: Service = request.app.state.service
    # Pieces are joined when all are there, so that no array of megabytes is moved again and again as it grows.
    pieces: list[bytearray] = []
    try:
        await _read(request, limit, pieces, service, peer)
        request.state.read = True
        yield b"".join(pieces)
    finally:
        service.body_budget.release(sum(map(len, pieces)), peer)


async def _read(request: Request, limit: int, pieces: list[bytearray], service: Service, peer: str) -> None:
    too_large = errors.TooLarge(f"the body is above {limit} bytes")
    account: Account = request.state.account
    account.check_bytes()
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise too_large
    size = 0
    try:
        async with asyncio.timeout(service.settings.body_timeout):
            async for piece in request.stream():
                size += len(piece)
                if size > limit:
                    raise too_large
                service.body_budget.acquire(len(piece), peer)
                _append(pieces, piece)
                account.spend_bytes(len(piece))
    except ClientDisconnect:
        raise errors.ClientDisconnected("the client disconnected") from None
    except TimeoutError:
        raise errors.TooSlow(f"the body did not arrive within {service.settings.body_timeout:g} s") from None


def _append(pieces: list[bytearray], more: bytes) -> None:
    """Append to the last piece while it is small, because every object takes memory of its own."""
    if pieces and len(pieces[-1]) + len(more) <= PIECE:
        pieces[-1] += more
    else:
        pieces.append(bytearray(more))


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled if the client disconnects; the body must have been read.

    Raises:
        ClientDisconnected: the client has disconnected.
    """
    waiting, left, task = True, False, asyncio.current_task()
    watcher = asyncio.create_task(_disconnect(request), name="overtone-connection")
    assert task is not None

    def leave(_: asyncio.Task[None]) -> None:
        nonlocal left
        if waiting:
            left = task.cancel()

    watcher.add_done_callback(leave)
    try:
        return await work
    except asyncio.CancelledError:
        # Somebody else's cancellation goes on, also where the client has disconnected at the same time.
        if left and task.uncancel() == 0:
            raise errors.ClientDisconnected("the client disconnected") from None
        raise
    finally:
        waiting = False
        watcher.cancel()


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def payloads_of(body: bytes, core: Core) -> tuple[bytes, ...]:
    """The payloads of a body.

    Raises:
        BadRequest: the body does not have the form of `frequency.join`.
        OutdatedClient: the body is a bare payload, as in the former protocol.
    """
    if body[:1] == FORMER_START and body[4:8] == core.profile.id:
        raise errors.OutdatedClient
    with service_errors():
        return split(body)
