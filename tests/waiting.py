"""Waiting for what other tasks do."""

import asyncio
import time
from collections.abc import Callable

# Seconds for anything that should take a moment: the machine may be busy, and no test is about speed.
LATER = 30.0


async def close(server: asyncio.Server) -> None:
    """Close a server that accepts no more, once it has handed over what it accepted: on one of the loop's next turns.

    If it were closed in between, asyncio would lose the connection, whose transport cannot be attached to it any more.
    """
    for listener in server.sockets:
        asyncio.get_running_loop().remove_reader(listener.fileno())
    for _ in range(5):
        await asyncio.sleep(0)
    server.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(LATER):
        while not condition():
            await asyncio.sleep(0.001)


def until_blocking(condition: Callable[[], object]) -> None:
    """Wait for other threads while the event loop stands still."""
    limit = time.monotonic() + LATER
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.001)
