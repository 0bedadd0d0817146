"""The images that wait to be sent: a bounded queue that drops the oldest when it is full."""

import asyncio
import contextlib
from bisect import insort
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from overtone.frequency import Source


@dataclass(order=True)
class Waiting:
    """An image in the queue.

    Attributes:
        number: its position in the order in which images came.
        name: the path of its file, or the address of its camera.
        source: the image.
        again: whether it has been sent before, without an answer.
    """

    number: int
    name: str = field(compare=False)
    source: Source = field(compare=False)
    again: bool = field(default=False, compare=False)


class ImageQueue:
    """Images in the order in which they came, for `AsyncClient.stream`, which takes one when it can be sent.

    Args:
        capacity: how many may wait; when one more comes, the oldest is dropped.
        on_drop: called for each that is dropped.

    Attributes:
        taken: the images that the stream has taken and has no result of yet, in the order in which results come.
    """

    def __init__(self, capacity: int, on_drop: Callable[[], None]) -> None:
        self.taken: deque[Waiting] = deque()
        self._capacity = capacity
        self._on_drop = on_drop
        self._waiting: list[Waiting] = []
        self._count = 0
        self._closed = False
        self._not_before = 0.0
        self._changed = asyncio.Event()

    def put(self, name: str, source: Source) -> None:
        """Add an image. A file that waits already is not added: it will be read as it is then."""
        if isinstance(source, Path) and any(image.name == name for image in self._waiting):
            return
        self._count += 1
        self._insert(Waiting(self._count, name, source))

    def put_back(self, image: Waiting) -> None:
        """Add an image that found no answer, at its old place; it may be the oldest, which is dropped."""
        image.again = True
        self._insert(image)

    async def room(self) -> None:
        """Wait until the queue is half empty; feeders of old images leave the other half to new ones."""
        await self._until(lambda: len(self._waiting) <= self._capacity // 2)

    def pause(self, seconds: float) -> None:
        """Hand out no image for so many seconds."""
        self._not_before = asyncio.get_running_loop().time() + seconds

    def close(self) -> None:
        """Hand out no more images, so that a stream ends after the results of those that it has taken."""
        self._closed = True
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[Source]:
        while True:
            await self._until(lambda: self._closed or bool(self._waiting))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._not_before):
                    await self._until(lambda: self._closed)
            if self._closed:
                return
            self.taken.append(self._waiting.pop(0))
            self._changed.set()
            yield self.taken[-1].source

    def _insert(self, image: Waiting) -> None:
        insort(self._waiting, image)
        if len(self._waiting) > self._capacity:
            del self._waiting[0]
            self._on_drop()
        self._changed.set()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()
