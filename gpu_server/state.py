"""The store of unfinished images between messages, bounded in bytes and time; a lost image is sent again as a whole.

Three quarters of the bytes are for images of which the server has asked for further layers: the layers decoded so far,
and what has arrived of the next ones. The last quarter is for layers that are sent unasked; however many these are,
they evict nothing that was asked for.
"""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

from overtone.gpu_server.answer import NeedMore
from overtone.gpu_server.errors import Overloaded, StateLost
from overtone.gpu_server.limits.fair_share import FairShare, Holding, Peer
from overtone.gpu_server.telemetry.metrics import Metrics

# The cost of an entry besides its arrays: keys, objects, the answer so far.
OVERHEAD = 1024
# Digits of a generation in a token; no token with a longer number was issued here.
MAX_DIGITS = 9
# The part of the bytes for layers that are sent unasked.
UNREQUESTED_SHARE = 1 / 4


class Store:
    """Images that wait for further layers, each under a key for `ttl` seconds, and a count of the bytes of uploads.

    Args:
        limit: bytes of both together.
        ttl: seconds for which an image is kept.
        metrics: where to count.
        clock: seconds.
        prefix: with which tokens begin: the number of a face.
    """

    def __init__(
        self,
        limit: int,
        ttl: float,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
        prefix: str = "",
    ) -> None:
        self._prefix = prefix
        self.ttl = ttl
        self._metrics = metrics
        self._clock = clock
        self._entries: OrderedDict[Hashable, tuple[float, NeedMore, Holding]] = OrderedDict()
        unrequested = int(limit * UNREQUESTED_SHARE)
        self._unrequested = FairShare(unrequested)
        self._requested = FairShare(limit - unrequested)

    @property
    def bytes(self) -> int:
        """Bytes that are held now."""
        return self._requested.used + self._unrequested.used

    def issue(self, owner: str, need: NeedMore, generation: int = 0) -> str:
        """Keep an image under a new token, which is valid for its owner and for this generation of the model alone."""
        token = f"{self._prefix}{generation}-{secrets.token_urlsafe(16)}"
        self.put((owner, generation, token), Peer(owner), need)
        return token

    def generation(self, token: str) -> int | None:
        """The generation for which a token was issued; None if it was not issued here."""
        number = token.removeprefix(self._prefix).partition("-")[0]
        return int(number) if number.isascii() and number.isdecimal() and len(number) < MAX_DIGITS else None

    def put(self, key: Hashable, peer: Peer, need: NeedMore) -> None:
        """Keep an image of this peer; others may be evicted for it. If there is no room, it is lost at once."""
        self.drop(key)
        self._expire()
        holding = Holding(peer, need.size + OVERHEAD, lambda: self._evict(key))
        try:
            self._requested.hold(holding)
        except Overloaded:
            self._metrics.state_evictions.inc()
        else:
            self._entries[key] = (self._clock() + self.ttl, need, holding)

    def check(self, key: Hashable) -> None:
        """Make sure that the store has an image under this key; this does not count as a hit.

        Raises:
            StateLost: there is none.
        """
        self._expire()
        if key not in self._entries:
            self._metrics.state_misses.inc()
            raise StateLost("the layers before these are not here, or no longer: send all layers again")

    def get(self, key: Hashable) -> NeedMore:
        """The image kept under this key; it stays until it is dropped, expires or is evicted.

        Raises:
            StateLost: there is none.
        """
        self.check(key)
        self._metrics.state_hits.inc()
        return self._entries[key][1]

    def drop(self, key: Hashable) -> None:
        """Remove the image under this key, if there is one."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._requested.release(entry[2])

    def reserve(self, peer: Peer, on_evicted: Callable[[], None]) -> "Reservation":
        """Begin to count the bytes of an upload that the server has not asked for; `on_evicted` must free them."""
        return Reservation(self._unrequested, self._requested, Holding(peer, 0, on_evicted))

    def _expire(self) -> None:
        now = self._clock()
        while self._entries and next(iter(self._entries.values()))[0] <= now:
            key = next(iter(self._entries))
            self.drop(key)
            self._metrics.state_evictions.inc()

    def _evict(self, key: Hashable) -> None:
        del self._entries[key]
        self._metrics.state_evictions.inc()


class Reservation:
    """The bytes of one upload in the account of a store."""

    def __init__(self, unrequested: FairShare, requested: FairShare, holding: Holding) -> None:
        self._share = unrequested
        self._requested = requested
        self._holding = holding
        unrequested.hold(holding)

    def grow(self, count: int) -> None:
        """Count more bytes.

        Raises:
            Overloaded: there is no room for them.
        """
        self._share.grow(self._holding, count)

    def request(self) -> None:
        """Move the bytes to the part for layers that the server has asked for.

        Raises:
            Overloaded: there is no room for them.
        """
        self.release()
        self._share = self._requested
        self._share.hold(self._holding)

    def release(self) -> None:
        """Count these bytes no longer; no effect if they have been released or evicted."""
        self._share.release(self._holding)
