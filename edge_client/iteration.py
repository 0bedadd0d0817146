"""Iterating over images without blocking the event loop."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")

_END: Any = object()


async def iterate(images: Iterable[T] | AsyncIterable[T]) -> AsyncGenerator[T, None]:
    """The items of an iterable, each taken only when it is asked for.

    A plain iterable is read in a thread of its own, so it may block, as a camera does. The thread is a daemon:
    neither the end of the event loop nor that of the program waits for an iterable that is blocked.
    """
    if isinstance(images, AsyncIterable):
        async for image in images:
            yield image
        return
    requests: SimpleQueue[Future[T] | None] = SimpleQueue()
    reader = Thread(target=_read, args=(iter(images), requests), name="overtone-images", daemon=True)
    reader.start()
    try:
        while True:
            request: Future[T] = Future()
            requests.put(request)
            if (image := await asyncio.wrap_future(request)) is _END:
                return
            yield image
    finally:
        requests.put(None)


def _read(iterator: Iterator[T], requests: "SimpleQueue[Future[T] | None]") -> None:
    """Answer each request with the next item, until the request is None."""
    while (request := requests.get()) is not None:
        if request.set_running_or_notify_cancel():
            try:
                request.set_result(next(iterator, _END))
            except BaseException as error:
                request.set_exception(error)
