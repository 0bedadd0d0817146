"""Waiting for what other tasks do."""

import asyncio
import time
from collections.abc import Callable

# Seconds for anything that should take a moment: the machine may be busy, and no test is about speed.
LATER = 30.0


async def handed_over() -> None:
    """Let a server that was just closed hand over a connection that it accepted before: on one of the next turns."""
    for _ in range(5):
        await asyncio.sleep(0)


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
