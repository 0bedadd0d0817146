"""Limits on what cannot be evicted, such as HTTP bodies that are being read: for all peers together and for each."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from overtone.gpu_server.errors import Overloaded, OverShare

# Whose limit was reached.
ALL, PEER = "all", "peer"


def _nobody(_: str) -> None:
    pass


class Budget:
    """So much that all peers together may hold at one time, and each of them a part of it.

    Args:
        limit: of all.
        share: the part that one peer may hold; but one unit it may always hold.
        what: what is counted, for messages.
        on_refused: told whose limit was reached, `ALL` or `PEER`, whenever one is.
    """

    def __init__(
        self,
        limit: int,
        share: float = 1.0,
        what: str = "unfinished requests",
        on_refused: Callable[[str], None] = _nobody,
    ) -> None:
        self.used = 0
        self.limit = limit
        self.largest = max(1, int(limit * share))
        self._what = what
        self._on_refused = on_refused
        self._held: Counter[str] = Counter()

    def of(self, peer: str) -> int:
        """How much a peer holds."""
        return self._held[peer]

    def acquire(self, count: int, peer: str = "") -> None:
        """Hold more.

        Raises:
            OverShare: it would be more than one peer may hold.
            Overloaded: it would be more than there is.
        """
        if self._held[peer] + count > self.largest:
            self._on_refused(PEER)
            raise OverShare(f"you hold too many {self._what} at one time; try again later", retry_after=1.0)
        if self.used + count > self.limit:
            self._on_refused(ALL)
            raise Overloaded(f"the server holds too many {self._what}; try again later", retry_after=1.0)
        self.used += count
        self._held[peer] += count

    def release(self, count: int, peer: str = "") -> None:
        """Hold less."""
        self.used -= count
        self._held[peer] -= count
        if not self._held[peer]:
            del self._held[peer]

    @contextmanager
    def holding(self, count: int, peer: str = "") -> Iterator[None]:
        """Hold more while inside.

        Raises:
            OverShare, Overloaded: as `acquire`.
        """
        self.acquire(count, peer)
        try:
            yield
        finally:
            self.release(count, peer)
