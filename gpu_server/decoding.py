"""Decoding ahead of the network, in threads of its own for each kind of input."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from enum import StrEnum
from typing import TypeVar

from overtone.gpu_server.errors import Overloaded, Stopping
from overtone.gpu_server.moving_average import MovingAverage

T = TypeVar("T")


class Source(StrEnum):
    """What an image arrives as. A payload is decoded in less than a millisecond; a large PNG can take a second."""

    PAYLOAD = "payload"
    IMAGE = "image"


class DecodeLane:
    """A few threads and a bounded queue in front of them; use it from one event loop only.

    An item that is cancelled while it waits is forgotten at once. One that is cancelled while a thread works on
    it keeps its place until the thread is done.

    Args:
        source: what is decoded here.
        threads: how many items are decoded at the same time.
        limit: how many items may be here, those being decoded included.
        clock: seconds, for measuring.
    """

    def __init__(
        self, source: Source, threads: int, limit: int, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._threads = threads
        self._limit = limit
        self._clock = clock
        self._depth = 0
        self._stopped = False
        self._free_threads = asyncio.Semaphore(threads)
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=f"overtone-decode-{source}")
        self._seconds_per_item = MovingAverage()

    @property
    def full(self) -> bool:
        """Whether one more item would be refused."""
        return self._depth >= self._limit

    def backlog(self) -> float:
        """Estimated seconds until everything that is here now is decoded."""
        return self._depth * self._seconds_per_item.value / self._threads

    async def run(self, decode: Callable[[], T]) -> T:
        """The result of `decode`, which is called in one of the threads.

        Raises:
            Overloaded: the lane is full.
            Stopping: the lane was stopped before a thread was free.
        """
        if self.full:
            raise Overloaded("too many images wait to be decoded; try again later", retry_after=1.0)
        self._depth += 1
        try:
            await self._free_threads.acquire()
        except asyncio.CancelledError:
            self._depth -= 1
            raise
        if self._stopped:
            self._finish([])
            raise Stopping
        return await asyncio.wrap_future(self._start(decode))

    async def stop(self) -> None:
        """Start nothing new, and wait for the threads to finish what they have begun."""
        self._stopped = True
        await asyncio.to_thread(self._executor.shutdown)

    def _start(self, decode: Callable[[], T]) -> Future[T]:
        loop = asyncio.get_running_loop()
        seconds: list[float] = []

        def timed() -> T:
            began = self._clock()
            try:
                return decode()
            finally:
                seconds.append(self._clock() - began)

        future = self._executor.submit(timed)
        # The caller may be cancelled before the thread is done, so the place is not given back by the caller.
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._finish, seconds))
        return future

    def _finish(self, seconds: list[float]) -> None:
        for each in seconds:  # none if it was cancelled before the thread began
            self._seconds_per_item.add(each)
        self._depth -= 1
        self._free_threads.release()
