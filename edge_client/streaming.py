"""Answers in the order of their images, several images being in flight."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import TypeVar

from overtone.edge_client.iteration import iterate

S = TypeVar("S")
T = TypeVar("T")


async def in_order(
    images: Iterable[S] | AsyncIterable[S], ask: Callable[[S], Awaitable[T]], in_flight: int
) -> AsyncGenerator[T, None]:
    """The results of `ask` for each image, in the order of the images, with at most `in_flight` calls at a time.

    An image is taken from the iterable only when there is room for it. An exception of the iterable is raised after
    the results of the images before it.
    """
    room = asyncio.Semaphore(in_flight)
    queue: asyncio.Queue[asyncio.Task[T] | None] = asyncio.Queue()
    running: deque[asyncio.Task[T]] = deque()

    async def one(image: S) -> T:
        return await ask(image)

    async def feed() -> None:
        try:
            async with aclosing(iterate(images)) as source:
                await room.acquire()
                async for image in source:
                    running.append(asyncio.create_task(one(image)))
                    queue.put_nowait(running[-1])
                    await room.acquire()
        finally:
            queue.put_nowait(None)

    feeder = asyncio.create_task(feed())
    try:
        while (task := await queue.get()) is not None:
            result = await task
            running.popleft()
            room.release()
            yield result
        await feeder
    finally:
        for left in (feeder, *running):
            left.cancel()
        await asyncio.gather(feeder, *running, return_exceptions=True)
