"""Waiting for what other tasks do."""

import asyncio
from collections.abc import Callable

# Seconds for anything that should take a moment: the machine may be busy, and no test is about speed.
LATER = 30.0


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(LATER):
        while not condition():
            await asyncio.sleep(0.001)
