"""The loop of `overtone watch`: images are sent as they come, for days, whatever happens to the server."""

import asyncio
import contextlib
import random
import signal
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from overtone.edge_client.answer import Answer, Result
from overtone.edge_client.client import AsyncClient
from overtone.edge_client.detection import Detected
from overtone.edge_client.errors import (
    BadImage,
    DeadlineExceeded,
    OvertoneError,
    Refused,
    ServerFailed,
    Unavailable,
    WrongTask,
)
from overtone.edge_client.image_queue import ImageQueue, Waiting
from overtone.edge_client.notes import Notes
from overtone.edge_client.output import Event
from overtone.edge_client.task import Task

# Seconds before a server that was never there is tried again: at first, and at most. They double each time.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
# Seconds before images that found no server are sent again, in addition to what the client tries by itself.
PAUSE = 1.0
# Seconds for images in flight to be answered when the device is stopped.
LAST = 2.0
# Errors that may pass by themselves.
PASSING = (Unavailable, Refused, DeadlineExceeded)


class ImageSource(Protocol):
    """A source of images, such as a folder or a camera."""

    async def feed(self, queue: ImageQueue) -> None:
        """Put images into the queue for ever."""


@dataclass
class Tally:
    """Counts of images that were answered, their payload bytes, and images that were dropped or failed."""

    images: int = 0
    bytes: int = 0
    dropped: int = 0
    failed: int = 0

    def __str__(self) -> str:
        return f"{self.images:,} images, {self.bytes:,} payload bytes, {self.dropped:,} dropped, {self.failed:,} failed"


class Watcher:
    """Sends images as they come, whatever happens to the server.

    An image that found no server goes back into the queue. One that fails for a reason of its own is counted; so is one
    that found no answer in time twice, while others did.

    Args:
        client: not opened yet.
        source: of the images.
        capacity: how many images may wait; when one more comes, the oldest is dropped.
        notes: print errors.
        show: is called with each answer.
        task: of the server's model.
        least: the probability from which an object of a detector's answer is shown.

    Attributes:
        tally: the counts so far.
    """

    def __init__(
        self,
        client: AsyncClient,
        source: ImageSource,
        capacity: int,
        notes: Notes,
        show: Callable[[Event], None],
        task: Task = "classify",
        least: float = 0.0,
    ) -> None:
        self.tally = Tally()
        self._client = client
        self._source = source
        self._queue = ImageQueue(capacity, self._on_drop)
        self._notes = notes
        self._show = show
        self._task: Task = task
        self._least = least
        self._lost = self._told = False  # whether images find no server, and whether that was said
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Keep going until SIGINT or SIGTERM, or `stop`.

        Raises:
            OvertoneError: the server will not have this client, for a reason that does not pass.
        """
        work = [asyncio.create_task(self._source.feed(self._queue)), asyncio.create_task(self._send())]
        stopping: asyncio.Task[bool] = asyncio.create_task(self._stop.wait())
        try:
            with _on_signals(self.stop):
                await asyncio.wait((*work, stopping), return_when=asyncio.FIRST_COMPLETED)
            self._queue.close()
            if self._queue.taken:
                await asyncio.wait(work[1:], timeout=LAST)
            for task in work:
                if task.done():
                    task.result()
        finally:
            for task in work:
                task.cancel()
            stopping.cancel()
            await asyncio.gather(*work, stopping, return_exceptions=True)

    def stop(self) -> None:
        """Take no more images, and end when those in flight are answered, which is given little time."""
        self._stop.set()

    async def _send(self) -> None:
        for pause in _pauses():
            try:
                async with self._client as client, aclosing(self._results(client)) as results:
                    self._notes.say(f"the server has {client.profile.name}")
                    async for result in results:
                        self._on_result(self._queue.taken.popleft(), result)
                    return
            except (*PASSING, ServerFailed) as error:
                self._on_loss(error)
                await asyncio.sleep(max(pause, error.retry_after or 0.0))

    def _results(self, client: AsyncClient) -> AsyncGenerator[Result[Answer | Detected], None]:
        if self._task == "classify":
            return client.stream(self._queue)
        return client.stream(self._queue, task="detect")

    def _on_result(self, image: Waiting, result: Result[Answer | Detected]) -> None:
        if result.answer is not None:
            if self._told:
                self._notes.say("the server answers again")
            self._lost = self._told = False
            self.tally.images += 1
            self.tally.bytes += result.answer.bytes_sent
            self._show(Event.of(image.name, result.answer, self._least))
        elif isinstance(result.error, PASSING) and not self._is_at_fault(image, result.error):
            self._on_loss(result.error)
            self._queue.pause(result.error.retry_after or PAUSE)
            self._queue.put_back(image)
        elif isinstance(result.error, WrongTask) and not self.tally.images:  # it was so from the start
            raise result.error
        else:
            self._on_failure(image, result.error)

    def _is_at_fault(self, image: Waiting, error: OvertoneError) -> bool:
        """Whether an image is given up: others are answered, and for this one the time was too short twice."""
        return image.again and not self._lost and isinstance(error, DeadlineExceeded)

    def _on_failure(self, image: Waiting, error: OvertoneError | None) -> None:
        self.tally.failed += 1
        if isinstance(error, BadImage):
            self._notes.error(str(error) if image.name in str(error) else f"{image.name}: {error}")
        else:
            self._notes.error(f"{image.name}: {error}", kind=type(error).__name__)

    def _on_loss(self, error: OvertoneError) -> None:
        if not self._lost:
            self._lost = True
            self._told = self._notes.error(f"{error}; trying again for ever", kind="loss")

    def _on_drop(self) -> None:
        self.tally.dropped += 1
        self._notes.error(
            f"the queue is full: dropped the oldest image, {self.tally.dropped:,} in all", kind="dropped"
        )


def _pauses() -> Iterator[float]:
    """Seconds that double, drawn at random so that not all devices come back at the same moment."""
    longest = FIRST_PAUSE
    while True:
        yield longest * random.uniform(0.5, 1.0)
        longest = min(LONGEST_PAUSE, 2 * longest)


@contextlib.contextmanager
def _on_signals(function: Callable[[], None]) -> Iterator[None]:
    """Call a function at SIGINT and SIGTERM within the block; after it they do again what they do elsewhere."""
    loop, added = asyncio.get_running_loop(), []
    for number in (signal.SIGINT, signal.SIGTERM):
        # Not everywhere are there signals, and not in every thread; then Ctrl-C is an exception, as usual.
        with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
            loop.add_signal_handler(number, function)
            added.append(number)
    try:
        yield
    finally:
        for number in added:
            loop.remove_signal_handler(number)
