"""A server of real sockets, for what speaks its own protocol."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def listening(handle: Handle, port: int = 0) -> AsyncIterator[str]:
    """HOST:PORT of a server that handles each connection; those that are open in the end are cut off."""
    writers: set[asyncio.StreamWriter] = set()

    async def noted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        await handle(reader, writer)

    server = await asyncio.start_server(noted, "127.0.0.1", port)
    try:
        yield "{}:{}".format(*server.sockets[0].getsockname())
    finally:
        server.close()
        # A connection that was accepted just now is handed over on one of the next turns of the loop.
        for _ in range(5):
            await asyncio.sleep(0)
        for writer in writers:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
