"""Rate limiting by peer: a token bucket for each, of which only those that are not full are stored."""

import time
from collections.abc import Callable
from dataclasses import dataclass

# The number of buckets from which full ones are removed; fewer cost nothing.
PRUNED_FROM = 1024


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class RateLimiter:
    """Admits `per_second` actions a second of each peer, and `burst` of them at once after a pause."""

    def __init__(self, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}
        self._prune_at = PRUNED_FROM

    def take(self, peer: str) -> bool:
        """Count an action of a peer; False, and not counted, if it is one too many."""
        bucket = self._filled(peer)
        if bucket.left < 1:
            return False
        bucket.left -= 1
        return True

    def give_back(self, peer: str) -> None:
        """Uncount an action, because it turned out to be harmless."""
        bucket = self._filled(peer)
        bucket.left = min(self._burst, bucket.left + 1)

    def __len__(self) -> int:
        """How many peers have a bucket."""
        return len(self._buckets)

    def _filled(self, peer: str) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.get(peer)
        if bucket is None:
            self._prune(now)
            bucket = self._buckets[peer] = _Bucket(self._burst, now)
            return bucket
        bucket.left = min(self._burst, bucket.left + (now - bucket.at) * self._per_second)
        bucket.at = now
        return bucket

    def _prune(self, now: float) -> None:
        """Remove full buckets, whenever there are twice as many as the last time left."""
        if len(self._buckets) < self._prune_at:
            return
        self._buckets = {
            peer: bucket
            for peer, bucket in self._buckets.items()
            if bucket.left + (now - bucket.at) * self._per_second < self._burst
        }
        self._prune_at = max(PRUNED_FROM, 2 * len(self._buckets))
