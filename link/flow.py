"""One direction of one connection over a link: segments that cross it in order."""

import asyncio
import socket
from typing import NamedTuple

from overtone.link.impairments import Jitter
from overtone.link.shaper import Shaper, Transit
from overtone.link.tcp_overhead import HEADER, Acks, Count, on_wire, segments


class Segment(NamedTuple):
    """Bytes in transit and the time of their arrival; empty is the end of the stream, an error is a reset."""

    data: bytes | OSError
    arrives: float


class Flow:
    """Carries bytes from `source` to `sink` through `shaper`; acknowledgements travel with the `reverse` flow."""

    def __init__(
        self,
        source: socket.socket,
        sink: socket.socket,
        shaper: Shaper,
        counts: tuple[Count, ...],
        jitter: Jitter,
    ) -> None:
        self._source, self._sink, self._shaper, self._counts = source, sink, shaper, counts
        self._jitter = jitter
        self._transit: asyncio.Queue[Segment] = asyncio.Queue(shaper.window)
        self._last_arrival = 0.0
        self._acks = Acks()
        self.reverse = self

    async def send(self) -> None:
        """Read the source into the link until it ends or breaks; both travel like the bytes before them."""
        ended = False
        while not ended:
            data = await self._read()
            size = len(data) if isinstance(data, bytes) else 0
            ended = not size
            self.reverse._send_delayed_ack(self._shaper.clock.time())
            self.reverse._acks.answered()
            transit = await self._shaper.send(self._count_wire(on_wire(size)))
            await self._transit.put(Segment(data, self._arrival(transit)))

    async def deliver(self) -> None:
        """Write to the sink, each segment at its time.

        Raises:
            OSError: the source or the sink has reset the connection.
        """
        loop = asyncio.get_running_loop()
        while True:
            segment = await self._transit.get()
            await self._shaper.clock.until(segment.arrives)
            if isinstance(segment.data, OSError):
                raise segment.data
            self._acknowledge(len(segment.data))
            if not segment.data:
                self._sink.shutdown(socket.SHUT_WR)
                return
            await loop.sock_sendall(self._sink, segment.data)

    async def _read(self) -> bytes | OSError:
        try:
            return await asyncio.get_running_loop().sock_recv(self._source, self._shaper.piece)
        except OSError as error:
            return error

    def _arrival(self, transit: Transit) -> float:
        """The time of arrival with jitter, but never before the segment ahead."""
        due = max(self._last_arrival, transit.left, transit.arrives + self._jitter.draw())
        self._last_arrival = due
        return due

    def _acknowledge(self, size: int) -> None:
        for count in self._counts:
            count.payload += size
        now = self._shaper.clock.time()
        self._send_delayed_ack(now)
        self.reverse._send_empty(self._acks.arrived(now, segments(size)), now)

    def _send_delayed_ack(self, now: float) -> None:
        """Send the acknowledgement of this flow that no reply has carried in time."""
        at = self._acks.expired(now)
        if at is not None:
            self.reverse._send_empty(1, at)

    def _send_empty(self, acknowledgements: int, at: float) -> None:
        """Send segments without payload, which nobody waits for but which occupy the wire."""
        if acknowledgements:
            self._shaper.push(self._count_wire(acknowledgements * HEADER), at)

    def _count_wire(self, size: int) -> int:
        for count in self._counts:
            count.wire += size
        return size
