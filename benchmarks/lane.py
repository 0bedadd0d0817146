"""One direction of a link: a first-in first-out queue behind a token bucket, then a delay."""

import asyncio
import math
import socket
from collections.abc import Callable

from benchmarks.rate import MTU_PAYLOAD, Bucket, Rate

# Pieces of one frame let connections take turns on a slow link; on an unshaped one they would only cost time.
UNSHAPED_PIECE = 64 * 1024
QUEUE_SECONDS = 0.05
QUEUE_PIECES = 4


class Clock:
    """Time as the link sees it: the loop's, standing still while the link is frozen."""

    def __init__(self) -> None:
        self._running = asyncio.Event()
        self._running.set()
        self._stopped_at = 0.0
        self._lost = 0.0

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
        while True:
            await self._running.wait()
            left = moment - self.time()
            if left <= 0:
                return
            await asyncio.sleep(left)


class Lane:
    """One direction of the link, shared by all connections."""

    def __init__(self, rate: Rate, delay: float, clock: Clock) -> None:
        self.rate = rate
        self.delay = delay
        self.clock = clock
        self.piece = UNSHAPED_PIECE if math.isinf(rate.bits) else MTU_PAYLOAD
        self._bucket = Bucket(rate)
        self._depth = max(QUEUE_SECONDS, rate.seconds(QUEUE_PIECES * self.piece))
        self._turn = asyncio.Lock()  # wakes its waiters in order: connections take turns, a piece each

    @property
    def window(self) -> int:
        """Pieces one connection may have on the way: what fits into rate times delay, and some more."""
        in_flight = 0 if math.isinf(self.rate.bits) else self.rate.bytes * self.delay / self.piece
        return math.ceil(in_flight) + 64

    async def enter(self, size: int) -> float:
        """Queue `size` bytes as soon as there is room; the time at which the last of them is across."""
        async with self._turn:
            await self.clock.until(self._bucket.room_at(self._depth))
            return self._bucket.depart(self.clock.time(), size) + self.delay


class Flow:
    """One direction of one connection."""

    def __init__(
        self, source: socket.socket, sink: socket.socket, lane: Lane, count: Callable[[int], None]
    ) -> None:
        self._source, self._sink, self._lane, self._count = source, sink, lane, count
        self._way: asyncio.Queue[tuple[float, bytes | OSError]] = asyncio.Queue(lane.window)

    async def take(self) -> None:
        """From the source into the link, until it ends or breaks; both travel as the bytes do."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                piece: bytes | OSError = await loop.sock_recv(self._source, self._lane.piece)
            except OSError as error:
                piece = error
            size = len(piece) if isinstance(piece, bytes) else 0
            await self._way.put((await self._lane.enter(size), piece))
            if not size:
                return

    async def give(self) -> None:
        """Out of the link to the sink, each piece at its time.

        Raises:
            OSError: the source or the sink has reset the connection.
        """
        loop = asyncio.get_running_loop()
        while True:
            due, piece = await self._way.get()
            await self._lane.clock.until(due)
            if isinstance(piece, OSError):
                raise piece
            if not piece:
                self._sink.shutdown(socket.SHUT_WR)
                return
            self._count(len(piece))
            await loop.sock_sendall(self._sink, piece)
