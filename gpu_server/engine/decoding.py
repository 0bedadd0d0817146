"""Thread pools that decode images ahead of the network: one for payloads, one for pictures."""

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from enum import StrEnum

from overtone.gpu_server.engine.moving_average import MovingAverage


class Source(StrEnum):
    """The form in which an image arrives: a payload takes less than a millisecond to decode, a PNG up to a second."""

    PAYLOAD = "payload"
    IMAGE = "image"


class DecoderPool:
    """A few threads and a bounded queue in front of them.

    The event loop adds and removes work items. An item passes its result on from its thread, so that the event loop
    is not woken for every image. An item that is removed before a thread has begun it never runs; one that has been
    begun counts against the limit until it is done.

    Args:
        source: the form of images that is decoded here.
        threads: how many items are decoded at the same time.
        limit: items that may wait or be decoded at one time.
        clock: seconds, for measuring.
    """

    def __init__(
        self, source: Source, threads: int, limit: int, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.source = source
        self._limit = limit
        self._clock = clock
        self._waiting: OrderedDict[Hashable, Callable[[], None]] = OrderedDict()
        self._busy = 0
        self._stopped = False
        self._wake = threading.Condition()
        self._seconds_per_item = MovingAverage()
        self._threads = [
            threading.Thread(target=self._work, name=f"overtone-decode-{source}-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def full(self) -> bool:
        """Whether there is no room for one more item."""
        return len(self._waiting) + self._busy >= self._limit

    def backlog(self) -> float:
        """Estimated seconds until all items that wait now are decoded."""
        items = len(self._waiting) + self._busy
        return items * self._seconds_per_item.value / len(self._threads)

    def put(self, key: Hashable, work: Callable[[], None]) -> None:
        """Have one of the threads call `work`, which must not raise; `key` is for `remove`."""
        with self._wake:
            self._waiting[key] = work
            self._wake.notify()

    def remove(self, key: Hashable) -> None:
        """Remove an item if no thread has begun it."""
        with self._wake:
            self._waiting.pop(key, None)

    async def stop(self) -> None:
        """Wait until all items are done, then end the threads."""
        with self._wake:
            self._stopped = True
            self._wake.notify_all()
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _work(self) -> None:
        while (work := self._next()) is not None:
            began = self._clock()
            work()
            # Otherwise this variable would keep the item and its image alive until the next one comes.
            del work
            self._finish(self._clock() - began)

    def _next(self) -> Callable[[], None] | None:
        with self._wake:
            while not self._waiting:
                if self._stopped:
                    return None
                self._wake.wait()
            self._busy += 1
            return self._waiting.popitem(last=False)[1]

    def _finish(self, seconds: float) -> None:
        with self._wake:
            self._busy -= 1
            self._seconds_per_item.add(seconds)
