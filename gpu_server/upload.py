"""A high payload that arrives in chunks."""

import asyncio

from overtone.gpu_server.errors import BadRequest, Overloaded, ServiceError, TooLarge
from overtone.gpu_server.fair_share import Peer
from overtone.gpu_server.state import Store

MAX_CHUNK = 16 * 1024


class Upload:
    """Collects a peer's chunks in order, `limit` bytes at most; the store counts them until it is closed."""

    def __init__(self, store: Store, peer: Peer, limit: int) -> None:
        self._limit = limit
        self._data = bytearray()
        self._received = 0
        self._ended = asyncio.Event()
        self._failure: ServiceError | None = None
        self._read = False
        self._reservation = store.reserve(peer, self._evict)

    @property
    def complete(self) -> bool:
        """Whether the last chunk is here and the upload has not failed."""
        return self._ended.is_set() and self._failure is None

    @property
    def unread(self) -> int:
        """How many bytes came for nothing, because the payload was never read."""
        return 0 if self._read else self._received

    def add(self, offset: int, data: bytes, last: bool) -> None:
        """Append a chunk. One that does not fit fails the whole upload; after the last one they are ignored."""
        self._received += len(data)
        if self._ended.is_set():
            return
        try:
            self._check(offset, data)
            self._reservation.grow(len(data))
        except ServiceError as error:
            self.fail(error)
            return
        self._data += data
        if last:
            self._ended.set()

    def request(self) -> None:
        """The server needs this payload: from now on its bytes count as asked for."""
        if self._failure is not None:
            return
        try:
            self._reservation.request()
        except Overloaded as error:
            self._give_up(error)

    def fail(self, error: ServiceError) -> None:
        """Wait for no more chunks; no effect if the payload is complete."""
        if not self._ended.is_set():
            self._give_up(error)

    async def payload(self) -> bytes:
        """The payload, as soon as its last chunk is here.

        Raises:
            ServiceError: the upload failed.
        """
        await self._ended.wait()
        if self._failure is not None:
            raise self._failure
        self._read = True
        return bytes(self._data)

    def close(self) -> None:
        """Free the bytes; it may be called again."""
        self._give_up(BadRequest("the upload was closed"))

    def _evict(self) -> None:
        if not self._read:
            self._give_up(Overloaded("the server had no room for the high payload", retry_after=1.0))

    def _give_up(self, error: ServiceError) -> None:
        self._failure = self._failure or error
        self._ended.set()
        self._reservation.release()
        self._data = bytearray()

    def _check(self, offset: int, data: bytes) -> None:
        if len(data) > MAX_CHUNK:
            raise TooLarge(f"a chunk of {len(data)} bytes; send at most {MAX_CHUNK}")
        if offset != len(self._data):
            raise BadRequest(f"a chunk at {offset}, expected one at {len(self._data)}; send chunks in order")
        if offset + len(data) > self._limit:
            raise TooLarge(f"a payload above {self._limit} bytes")
