"""One direction of one connection over a link: segments that cross in order, and are sent again if lost."""

import asyncio
import socket
from collections import deque
from dataclasses import dataclass

from overtone.benchmarks.link.air import HEADER, Acks, Count, on_air, segments
from overtone.benchmarks.link.lane import Lane, Passage
from overtone.benchmarks.link.rate import MTU_PAYLOAD
from overtone.benchmarks.link.recovery import DUPLICATES, RoundTrip
from overtone.benchmarks.link.weather import Luck


@dataclass(slots=True)
class Segment:
    """Bytes on the way; none is the end of the stream, an error is a reset.

    Attributes:
        data: what it carries.
        entered: when it was given to the modem.
        due: when it arrives, or would have.
        lost: whether it will not.
    """

    data: bytes | OSError
    entered: float
    due: float
    lost: bool


class Flow:
    """From `source` to `sink` over `lane`; the acknowledgements of it cross the `answering` flow's lane.

    Args:
        source: read from.
        sink: written to.
        lane: what it crosses.
        counts: what to add it to.
        luck: its jitter and loss.
        rtt: round trip in seconds, as the handshake has measured it.
    """

    def __init__(
        self,
        source: socket.socket,
        sink: socket.socket,
        lane: Lane,
        counts: tuple[Count, ...],
        luck: Luck,
        rtt: float,
    ) -> None:
        self._source, self._sink, self._lane, self._counts, self._luck = source, sink, lane, counts, luck
        self._piece = min(lane.piece, MTU_PAYLOAD) if luck.lossy else lane.piece
        self._way: asyncio.Queue[Segment] = asyncio.Queue(lane.window)
        self._behind: deque[Segment] = deque()  # the same segments, for who waits for three of them
        self._news = asyncio.Event()
        self._last_due = 0.0
        self._heard = 0.0  # when the sender last got an acknowledgement
        self._round_trip = RoundTrip(rtt)
        self._acks = Acks()
        self.answering = self

    async def take(self) -> None:
        """From the source into the link, until it ends or breaks; both travel as the bytes do."""
        ended = False
        while not ended:
            data = await self._read()
            size = len(data) if isinstance(data, bytes) else 0
            ended = not size
            self.answering._settle(self._lane.clock.time())
            self.answering._acks.answered()
            segment = self._sent(data, await self._lane.enter(self._counted(size)))
            self._behind.append(segment)
            self._news.set()
            await self._way.put(segment)

    async def give(self) -> None:
        """Out of the link to the sink, each segment at its time.

        Raises:
            OSError: the source or the sink has reset the connection.
        """
        loop = asyncio.get_running_loop()
        while True:
            segment = await self._way.get()
            self._behind.popleft()
            if segment.lost:
                await self._recover(segment)
            await self._lane.clock.until(segment.due)
            if isinstance(segment.data, OSError):
                raise segment.data
            self._arrived(segment)
            if not segment.data:
                self._sink.shutdown(socket.SHUT_WR)
                return
            await loop.sock_sendall(self._sink, segment.data)

    def empty(self, acknowledgements: int, at: float) -> None:
        """Send so many segments that carry nothing; nobody waits for them, but they take air."""
        if acknowledgements:
            self._lane.push(self._counted_air(acknowledgements * HEADER), at)

    async def _read(self) -> bytes | OSError:
        try:
            return await asyncio.get_running_loop().sock_recv(self._source, self._piece)
        except OSError as error:
            return error

    def _sent(self, data: bytes | OSError, passage: Passage) -> Segment:
        """What has been queued, with its luck; it never overtakes the one before it."""
        due = max(self._last_due, passage.left, passage.across + self._luck.early_or_late())
        self._last_due = due
        return Segment(data, passage.entered, due, isinstance(data, bytes) and self._luck.loses())

    def _arrived(self, segment: Segment) -> None:
        assert isinstance(segment.data, bytes)
        for count in self._counts:
            count.payload += len(segment.data)
        self._heard = segment.due + self._lane.delay
        if not segment.lost:
            self._round_trip.measured(self._heard - segment.entered)
        now = self._lane.clock.time()
        self._settle(now)
        self.answering.empty(self._acks.arrived(now, segments(len(segment.data))), now)

    def _settle(self, now: float) -> None:
        """An acknowledgement of this flow that no answer has carried in time has left by itself."""
        at = self._acks.lapsed(now)
        if at is not None:
            self.answering.empty(1, at)

    async def _recover(self, segment: Segment) -> None:
        """Send it again, once the sender would know and until it arrives; everything behind it waits."""
        assert isinstance(segment.data, bytes)
        moment = await self._noticed(segment)
        losses = 0
        while True:
            await self._lane.clock.until(moment)
            passage = self._lane.push(self._counted(len(segment.data)))
            for count in self._counts:
                count.again += 1
            losses += 1
            if not self._luck.loses():
                segment.due = passage.across
                return
            moment = passage.entered + self._round_trip.timeout(losses)

    async def _noticed(self, segment: Segment) -> float:
        """When the sender sees that it was lost: by what comes behind it, or because nothing does."""
        timeout = max(segment.entered, self._heard) + self._round_trip.timeout()
        while len(arriving := [s.due for s in self._behind if not s.lost]) < DUPLICATES:
            if not await self._more(timeout):
                return timeout
        return min(timeout, arriving[DUPLICATES - 1] + self._lane.delay)

    async def _more(self, until: float) -> bool:
        """Wait for another segment of this flow, at most until then; whether there is one."""
        self._news.clear()
        waits = [
            asyncio.ensure_future(self._news.wait()),
            asyncio.ensure_future(self._lane.clock.until(until)),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            return waits[0].done()
        finally:
            for wait in waits:
                wait.cancel()

    def _counted(self, size: int) -> int:
        return self._counted_air(on_air(size))

    def _counted_air(self, size: int) -> int:
        for count in self._counts:
            count.air += size
        return size
