"""Low payloads kept between the phases, bounded by bytes and by time. Losing one is a normal answer.

High payloads still arriving are counted against the same bytes, so that slow devices cannot fill the memory.
"""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from overtone.gpu_server.answer import NeedHigh
from overtone.gpu_server.errors import Overloaded, StateLost
from overtone.gpu_server.metrics import Metrics

# What an entry costs beside its payload: keys, objects, the low answer.
OVERHEAD = 1024


@dataclass(frozen=True, slots=True)
class PendingImage:
    """What is known of an image whose high has been asked for."""

    low: bytes
    need: NeedHigh


class Budget:
    """Bytes that may be held at one time, of all requests together."""

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


class Store:
    """Oldest out first.

    Args:
        limit: bytes of everything kept.
        ttl: seconds an entry lives.
        metrics: where to count hits, misses and evictions.
        clock: seconds, monotonic.
    """

    def __init__(
        self, limit: int, ttl: float, metrics: Metrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.ttl = ttl
        self._limit = limit
        self._metrics = metrics
        self._clock = clock
        self._entries: OrderedDict[Hashable, tuple[float, PendingImage]] = OrderedDict()
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """What is held now."""
        return self._bytes

    def issue(self, owner: str, kept: PendingImage) -> str:
        """Keep something under a new token that only its owner can use."""
        token = secrets.token_urlsafe(16)
        self.put((owner, token), kept)
        return token

    def put(self, key: Hashable, kept: PendingImage) -> None:
        """Keep something; older entries make room, and what is larger than all the room is lost at once."""
        self.drop(key)
        self._expire()
        self._entries[key] = (self._clock() + self.ttl, kept)
        self._bytes += _size(kept)
        self._shrink()

    def check(self, key: Hashable) -> None:
        """See that `get` would find something now; it is no hit yet.

        Raises:
            StateLost: it would not.
        """
        self._expire()
        if key not in self._entries:
            self._metrics.state_misses.inc()
            raise StateLost("the low payload is not here, or no longer: send both")

    def get(self, key: Hashable) -> PendingImage:
        """What was kept under this key; it stays until dropped, expired or evicted.

        Raises:
            StateLost: nothing is.
        """
        self.check(key)
        self._metrics.state_hits.inc()
        return self._entries[key][1]

    def drop(self, key: Hashable) -> None:
        """Forget this key, if it is known."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= _size(entry[1])

    def reserve(self, count: int) -> None:
        """Count bytes held elsewhere; entries make room for them.

        Raises:
            Overloaded: not even an empty store has room.
        """
        self._bytes += count
        self._shrink()
        if self._bytes > self._limit:
            self._bytes -= count
            raise Overloaded(
                "the server holds too many unfinished payloads; try again later", retry_after=1.0
            )

    def release(self, count: int) -> None:
        """Give back what was reserved."""
        self._bytes -= count

    def _expire(self) -> None:
        now = self._clock()
        while self._entries and next(iter(self._entries.values()))[0] <= now:
            self._evict()

    def _shrink(self) -> None:
        while self._entries and self._bytes > self._limit:
            self._evict()

    def _evict(self) -> None:
        _, (_, kept) = self._entries.popitem(last=False)
        self._bytes -= _size(kept)
        self._metrics.state_evictions.inc()


def _size(kept: PendingImage) -> int:
    known = kept.need.probabilities
    return len(kept.low) + OVERHEAD + (0 if known is None else known.nbytes)
