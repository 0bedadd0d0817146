"""A limit on bytes that cannot be evicted, such as HTTP bodies that are being read."""

from overtone.gpu_server.errors import Overloaded


class Budget:
    """Bytes that all requests together may hold at one time."""

    def __init__(self, limit: int) -> None:
        self.used = 0
        self._limit = limit

    def acquire(self, count: int) -> None:
        """Hold more.

        Raises:
            Overloaded: it would be too many.
        """
        if self.used + count > self._limit:
            raise Overloaded(
                "the server holds too many unfinished requests; try again later", retry_after=1.0
            )
        self.used += count

    def release(self, count: int) -> None:
        """Hold less."""
        self.used -= count
