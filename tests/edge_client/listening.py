"""A server of real sockets, for what speaks its own protocol."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from tests.waiting import close

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def listening(handle: Handle, port: int = 0) -> AsyncIterator[str]:
    """HOST:PORT of a server that handles each connection; those that are open in the end are cut off."""
    writers: list[asyncio.StreamWriter] = []

    async def noted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await handle(reader, writer)

    server = await asyncio.start_server(noted, "127.0.0.1", port)
    try:
        yield "{}:{}".format(*server.sockets[0].getsockname())
    finally:
        await close(server)
        for writer in writers:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
