"""The upload of an image's further layers in chunks, within a gRPC session."""

import asyncio
from dataclasses import dataclass, field

from overtone.gpu_server.errors import BadRequest, Overloaded, ServiceError, TooLarge
from overtone.gpu_server.limits.fair_share import Peer
from overtone.gpu_server.state import Reservation, Store

MAX_CHUNK = 16 * 1024


@dataclass(eq=False, slots=True)
class _Part:
    """The chunks of one layer that have arrived."""

    reservation: Reservation
    data: bytearray = field(default_factory=bytearray)


class Upload:
    """Collects the chunks of one image, layer after layer; the store counts their bytes until they are read.

    Args:
        store: counts the bytes.
        peer: the sender.
        limit: bytes that each payload may have.
        first: the number of the first layer to arrive.
        last: the number of the last one.
    """

    def __init__(self, store: Store, peer: Peer, limit: int, first: int, last: int) -> None:
        self._store = store
        self._peer = peer
        self._limit = limit
        self._arriving = first
        self._unread_from = first
        self._last = last
        self._parts: dict[int, _Part] = {}
        self._requested = 0
        self._unread = 0
        self._changed = asyncio.Event()
        self._failure: ServiceError | None = None

    @property
    def unread(self) -> int:
        """How many bytes have arrived and not been read."""
        return self._unread

    def complete(self, layer: int) -> bool:
        """Whether all layers up to this one have arrived and can be read."""
        wanted = range(self._unread_from, layer + 1)
        return layer < self._arriving and all(number in self._parts for number in wanted)

    def add(self, layer: int, offset: int, data: bytes, last: bool) -> None:
        """Append a chunk. After one that does not fit, or the last one of the last layer, chunks are ignored."""
        self._unread += len(data)
        if self._failure is not None or self._arriving > self._last:
            return
        try:
            part = self._part()
            self._check(layer, offset, data, part)
            part.reservation.grow(len(data))
        except ServiceError as error:
            self.fail(error)
            return
        part.data += data
        if last:
            self._arriving += 1
            self._changed.set()

    def request(self, layer: int) -> None:
        """Count the bytes of the layers up to this one as asked for, those that arrive later included."""
        before, self._requested = self._requested, layer
        try:
            for number in range(before + 1, layer + 1):
                if part := self._parts.get(number):  # making room for one may have cost the others
                    part.reservation.request()
        except Overloaded as error:
            self._give_up(error)

    def fail(self, error: ServiceError) -> None:
        """Accept no more chunks; layers that are complete can still be read."""
        self._failure = self._failure or error
        if part := self._parts.pop(self._arriving, None):
            part.reservation.release()
        self._changed.set()

    async def payloads(self, layer: int) -> tuple[bytes, ...]:
        """The payloads up to this layer that were not read before, as soon as they are complete.

        Raises:
            ServiceError: the upload failed.
        """
        while not self.complete(layer):
            if self._failure is not None:
                raise self._failure
            self._changed.clear()
            await self._changed.wait()
        taken = [self._parts.pop(number) for number in range(self._unread_from, layer + 1)]
        self._unread_from = max(self._unread_from, layer + 1)
        for part in taken:
            self._unread -= len(part.data)
            part.reservation.release()
        return tuple(bytes(part.data) for part in taken)

    def close(self) -> None:
        """Free the bytes; it may be called again."""
        self._give_up(BadRequest("the upload was closed"))

    def _part(self) -> _Part:
        """The layer that is arriving."""
        if self._arriving not in self._parts:
            reservation = self._store.reserve(self._peer, self._evict)
            self._parts[self._arriving] = _Part(reservation)
            if self._arriving <= self._requested:
                reservation.request()
        return self._parts[self._arriving]

    def _evict(self) -> None:
        self._give_up(Overloaded("the server had no room for further layers", retry_after=1.0))

    def _give_up(self, error: ServiceError) -> None:
        self._failure = self._failure or error
        for part in self._parts.values():
            part.reservation.release()
        self._parts.clear()
        self._changed.set()

    def _check(self, layer: int, offset: int, data: bytes, part: _Part) -> None:
        if len(data) > MAX_CHUNK:
            raise TooLarge(f"a chunk of {len(data)} bytes; send at most {MAX_CHUNK}")
        if (layer, offset) != (self._arriving, len(part.data)):
            raise BadRequest(
                f"a chunk of layer {layer} at {offset}, expected one of layer {self._arriving} at {len(part.data)}; "
                "send layers and chunks in order"
            )
        if offset + len(data) > self._limit:
            raise TooLarge(f"a payload above {self._limit} bytes")
