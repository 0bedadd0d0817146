"""A high payload arriving in chunks."""

import asyncio

from overtone.gpu_server.errors import BadRequest, ServiceError, TooLarge
from overtone.gpu_server.state import Store

MAX_CHUNK = 16 * 1024


class Upload:
    """Collects chunks in order; its bytes are reserved in the store until it is closed.

    Args:
        store: whose bytes are used.
        limit: bytes of the whole payload.
    """

    def __init__(self, store: Store, limit: int) -> None:
        self._store = store
        self._limit = limit
        self._data = bytearray()
        self._ended = asyncio.Event()
        self._failure: ServiceError | None = None
        self._read = False

    @property
    def complete(self) -> bool:
        """Whether the last chunk is here and all is well."""
        return self._ended.is_set() and self._failure is None

    @property
    def unread(self) -> int:
        """Bytes that came and that nobody has wanted yet."""
        return 0 if self._read else len(self._data)

    def add(self, offset: int, data: bytes, last: bool) -> None:
        """The next chunk; one that does not fit fails the whole upload. More after the last are ignored."""
        if self._ended.is_set():
            return
        try:
            self._check(offset, data)
            self._store.reserve(len(data))
        except ServiceError as error:
            self.fail(error)
            return
        self._data += data
        if last:
            self._ended.set()

    def fail(self, error: ServiceError) -> None:
        """The payload will not become whole; no effect once it is."""
        if not self._ended.is_set():
            self._failure = error
            self._ended.set()

    async def whole(self) -> bytes:
        """The payload, once its last chunk is here.

        Raises:
            ServiceError: it failed.
        """
        await self._ended.wait()
        if self._failure is not None:
            raise self._failure
        self._read = True
        return bytes(self._data)

    def close(self) -> None:
        """Give the bytes back; it may be called again."""
        self.fail(BadRequest("the upload was closed"))
        self._store.release(len(self._data))
        self._data = bytearray()

    def _check(self, offset: int, data: bytes) -> None:
        if len(data) > MAX_CHUNK:
            raise TooLarge(f"a chunk of {len(data)} bytes; send at most {MAX_CHUNK}")
        if offset != len(self._data):
            raise BadRequest(f"a chunk at {offset}, expected one at {len(self._data)}; send chunks in order")
        if offset + len(data) > self._limit:
            raise TooLarge(f"a payload above {self._limit} bytes")
