"""One direction of a link: a first-in first-out queue behind a token bucket, then a delay."""

import asyncio
import math
from collections.abc import Callable
from typing import NamedTuple

from overtone.benchmarks.link.rate import MTU_PAYLOAD, Bucket, Pace, Rate

# Pieces of one frame let connections take turns on a slow link; on an unshaped one they would only cost time.
UNSHAPED_PIECE = 64 * 1024
QUEUE_SECONDS = 0.05
QUEUE_PIECES = 4


class Clock:
    """Time as the link sees it: the loop's, standing still while the link is frozen.

    `late` is the most seconds by which anybody was woken too late: how far to trust a link on a busy machine.
    """

    def __init__(self) -> None:
        self._running = asyncio.Event()
        self._running.set()
        self._stopped_at = 0.0
        self._lost = 0.0
        self.late = 0.0

    def time(self) -> float:
        """Seconds, never going back."""
        now = asyncio.get_running_loop().time() if self._running.is_set() else self._stopped_at
        return now - self._lost

    def stop(self) -> None:
        """Freeze; whoever waits for a moment waits on."""
        if self._running.is_set():
            self._stopped_at = asyncio.get_running_loop().time()
            self._running.clear()

    def go(self) -> None:
        """Go on from where it stood."""
        if not self._running.is_set():
            self._lost += asyncio.get_running_loop().time() - self._stopped_at
            self._running.set()

    async def until(self, moment: float) -> None:
        """Wait for `moment`, however often the clock stands still before it."""
        slept = False
        while True:
            await self._running.wait()
            left = moment - self.time()
            if left <= 0:
                self.late = max(self.late, -left) if slept else self.late
                return
            slept = True
            await asyncio.sleep(left)


class Passage(NamedTuple):
    """How something crossed: when it `entered` the queue, `left` the sender and is `across`, in seconds."""

    entered: float
    left: float
    across: float


class Lane:
    """One direction of a modem, shared by the connections that use it.

    Args:
        rate: of bytes on the air; the mean one if `pace` says how it changes.
        delay: seconds on the way, half a round trip.
        clock: of the link.
        pace: a rate that changes.
        late: further seconds on the way at a moment, for a round trip that changes.
    """

    def __init__(
        self,
        rate: Rate,
        delay: float,
        clock: Clock,
        *,
        pace: Pace | None = None,
        late: Callable[[float], float] | None = None,
    ) -> None:
        self.rate = rate
        self.delay = delay
        self.clock = clock
        self.piece = UNSHAPED_PIECE if math.isinf(rate.bits) else MTU_PAYLOAD
        self._bucket = Bucket(pace or rate)
        self._late = late
        self._depth = max(QUEUE_SECONDS, rate.seconds(QUEUE_PIECES * self.piece))
        self._turn = asyncio.Lock()  # wakes its waiters in order: connections take turns, a piece each

    @property
    def window(self) -> int:
        """Pieces one connection may have on the way: what fits into rate times delay, and some more."""
        in_flight = 0 if math.isinf(self.rate.bits) else self.rate.bytes * self.delay / self.piece
        return math.ceil(in_flight) + 64

    async def enter(self, size: int) -> Passage:
        """Queue `size` bytes on the air as soon as there is room."""
        async with self._turn:
            await self.clock.until(self._bucket.room_at(self._depth))
            return self.push(size)

    def push(self, size: int, at: float | None = None) -> Passage:
        """Queue `size` bytes, now or `at` a time that has passed, whether there is room or not.

        For what TCP sends by itself, which waits for no program.
        """
        entered = self.clock.time() if at is None else at
        left = self._bucket.depart(entered, size)
        return Passage(entered, left, left + self.way(left))

    def way(self, moment: float) -> float:
        """Seconds on the way for what leaves at `moment`."""
        return self.delay + (self._late(moment) if self._late else 0.0)
