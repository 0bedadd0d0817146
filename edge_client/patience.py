"""Waiting: at most so long, as long as a server likes, and for what is to come."""

import asyncio
import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any, TypeVar

from overtone.edge_client.errors import DeadlineExceeded, OvertoneError

T = TypeVar("T")

# How often a busy server is asked for one image, however much time is left.
PATIENCE = 4
# Pauses before each attempt to reach the server: short at first, as nobody waits long for a wrong address;
# longer when a server that was there is away, perhaps to start again.
FIRST_PAUSES = (0.0, 0.1, 0.3)
PAUSES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0)


@contextlib.asynccontextmanager
async def within(seconds: float, what: str) -> AsyncIterator[None]:
    """Raise DeadlineExceeded, saying `what`, once the time is up."""
    try:
        async with asyncio.timeout(seconds) as limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise DeadlineExceeded(f"{what} within {seconds:g} s") from error


async def pause(error: OvertoneError, deadline: float, patience: int) -> None:
    """Wait as long as the server asked for, or raise its error where that makes no sense."""
    wait = error.retry_after
    if wait is None or patience <= 0 or asyncio.get_running_loop().time() + wait >= deadline:
        raise error
    await asyncio.sleep(max(wait, 0.01))


async def each(images: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    """The items; those of a plain iterable are waited for off the event loop."""
    if isinstance(images, AsyncIterable):
        async for image in images:
            yield image
        return
    iterator: Iterator[T] = iter(images)
    end: Any = object()
    while (image := await asyncio.to_thread(next, iterator, end)) is not end:
        yield image
