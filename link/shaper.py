"""One direction of a link: a first-in first-out queue behind a token bucket, then a delay."""

import asyncio
import math
from collections.abc import Callable
from typing import NamedTuple

from overtone.link.rate import MTU_PAYLOAD, Bucket, Rate, Schedule

# Pieces of one frame let connections take turns on a slow link; on an unshaped one they would only cost time.
UNSHAPED_PIECE = 64 * 1024
QUEUE_SECONDS = 0.05
QUEUE_PIECES = 4


class Clock:
    """The link's time: the event loop's, except that it stands still while the link is frozen.

    `late` is the largest delay in seconds between a requested and an actual wake-up; it shows how far the
    simulation can be trusted on a busy machine.
    """

    def __init__(self) -> None:
        self._running = asyncio.Event()
        self._running.set()
        self._stopped_at = 0.0
        self._frozen = 0.0
        self.late = 0.0

    def time(self) -> float:
        """Seconds, never going back."""
        now = asyncio.get_running_loop().time() if self._running.is_set() else self._stopped_at
        return now - self._frozen

    def stop(self) -> None:
        """Freeze time; everything that waits for a moment keeps waiting."""
        if self._running.is_set():
            self._stopped_at = asyncio.get_running_loop().time()
            self._running.clear()

    def resume(self) -> None:
        """Continue from where time stood."""
        if not self._running.is_set():
            self._frozen += asyncio.get_running_loop().time() - self._stopped_at
            self._running.set()

    async def until(self, moment: float) -> None:
        """Wait for `moment`, however often time is frozen before it."""
        slept = False
        while True:
            await self._running.wait()
            left = moment - self.time()
            if left <= 0:
                self.late = max(self.late, -left) if slept else self.late
                return
            slept = True
            await asyncio.sleep(left)


class Transit(NamedTuple):
    """When a piece has left the sender and when it arrives, in seconds."""

    left: float
    arrives: float


class Shaper:
    """One direction of a modem, shared by the connections that use it.

    `rate` is of bytes on the wire (the mean one if there is a `schedule`), `delay` half a round trip in seconds.
    `extra_delay` is added to it at a given time, for a round trip that changes.
    """

    def __init__(
        self,
        rate: Rate,
        delay: float,
        clock: Clock,
        schedule: Schedule | None = None,
        extra_delay: Callable[[float], float] = lambda moment: 0.0,
    ) -> None:
        self.rate = rate
        self.delay = delay
        self.clock = clock
        self.piece = UNSHAPED_PIECE if math.isinf(rate.bits) else MTU_PAYLOAD
        self._bucket = Bucket(schedule or rate)
        self._extra_delay = extra_delay
        self.depth = max(QUEUE_SECONDS, rate.seconds(QUEUE_PIECES * self.piece))
        self._turn = asyncio.Lock()  # wakes its waiters in order: connections take turns, a piece each

    @property
    def window(self) -> int:
        """Pieces that one connection may have in transit: the bandwidth-delay product and some more."""
        in_flight = 0 if math.isinf(self.rate.bits) else self.rate.bytes * self.delay / self.piece
        return math.ceil(in_flight) + 64

    async def send(self, size: int) -> Transit:
        """Queue `size` bytes on the wire as soon as there is room."""
        async with self._turn:
            await self.clock.until(self._bucket.room_at(self.depth))
            return self.push(size)

    def push(self, size: int, at: float | None = None) -> Transit:
        """Queue `size` bytes, now or `at` a past time, at once, as TCP sends handshakes and acknowledgements."""
        left = self._bucket.depart(self.clock.time() if at is None else at, size)
        return Transit(left, left + self.delay + self._extra_delay(left))
