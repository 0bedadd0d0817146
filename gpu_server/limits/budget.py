"""Budgets for what cannot be evicted, such as HTTP bodies that are being read: for all peers together and for each."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from overtone.gpu_server.errors import Overloaded, OverShare

# Whose limit was reached.
ALL, PEER = "all", "peer"


def _nobody(_: str) -> None:
    pass


class Budget:
    """A number of units that all peers together may hold at one time, and a part of it for each peer.

    Args:
        limit: units of all peers together.
        share: the part that one peer may hold, from 0 to 1, but at least one unit.
        what: the name of the units, in the plural, for messages.
        on_refused: called with the limit that was reached, `ALL` or `PEER`, at every refusal.

    Attributes:
        used: units that are held now.
        limit: units of all peers together.
        largest: units that one peer may hold.
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
        """How many units a peer holds."""
        return self._held[peer]

    def acquire(self, count: int, peer: str = "") -> None:
        """Take units for a peer.

        Raises:
            OverShare: the peer would hold more than its part.
            Overloaded: all peers together would hold more than the limit.
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
        """Return units of a peer."""
        self.used -= count
        self._held[peer] -= count
        if not self._held[peer]:
            del self._held[peer]

    @contextmanager
    def holding(self, count: int, peer: str = "") -> Iterator[None]:
        """Hold units while inside.

        Raises:
            OverShare, Overloaded: as `acquire`.
        """
        self.acquire(count, peer)
        try:
            yield
        finally:
            self.release(count, peer)
