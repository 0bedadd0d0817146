"""A limit on bytes that can be evicted: when it is reached, the client that holds most loses its oldest bytes."""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from overtone.gpu_server.errors import Overloaded

# The part of all bytes that one session may hold.
LARGEST_SHARE = 1 / 4


@dataclass(frozen=True, slots=True)
class Peer:
    """The client to which bytes belong: the owner's name, see `Access`, and one of its sessions."""

    owner: str
    session: Hashable = None


@dataclass(eq=False, slots=True)
class Holding:
    """Bytes held for one peer; `on_evicted` is called when they are evicted, and must free them."""

    peer: Peer
    size: int
    on_evicted: Callable[[], None]


@dataclass(slots=True)
class _Pile:
    """The holdings of one session, oldest first, and the sum of their bytes."""

    size: int = 0
    holdings: dict[Holding, None] = field(default_factory=dict)


class FairShare:
    """A number of bytes that all peers share.

    When there is no room, the owner that holds most gives way, whoever needs the room: the session in which it holds
    most loses its oldest holding. So a client that holds more than others cannot evict what is theirs.

    Args:
        limit: bytes of all peers together; each session may hold a quarter of them.
    """

    def __init__(self, limit: int) -> None:
        self.used = 0
        self._limit = limit
        self._largest = int(limit * LARGEST_SHARE)
        self._bytes: Counter[str] = Counter()
        self._piles: dict[str, dict[Peer, _Pile]] = defaultdict(lambda: defaultdict(_Pile))

    def hold(self, holding: Holding) -> None:
        """Add a holding; others may be evicted for it.

        Raises:
            Overloaded: there is no room for so many.
        """
        size, holding.size = holding.size, 0
        self._pile(holding.peer).holdings[holding] = None
        try:
            self.grow(holding, size)
        except Overloaded:
            self.release(holding)
            raise

    def grow(self, holding: Holding, count: int) -> None:
        """Add bytes to a holding; others may be evicted for them.

        Raises:
            Overloaded: there is no room for so many.
        """
        if holding.size + count > self._largest:
            raise _no_room()
        while self._pile(holding.peer).size + count > self._largest:
            self._make_room(holding.peer, holding)
        while self.used + count > self._limit:
            self._make_room(self._largest_peer(), holding)
        holding.size += count
        self._count(holding.peer, count)

    def release(self, holding: Holding) -> None:
        """Remove a holding; no effect if it has been released or evicted."""
        peer = holding.peer
        piles = self._piles.get(peer.owner, {})
        if peer not in piles or holding not in piles[peer].holdings:
            return
        self._count(peer, -holding.size)
        del piles[peer].holdings[holding]
        if not piles[peer].holdings:
            del piles[peer]
        if not piles:
            del self._piles[peer.owner], self._bytes[peer.owner]

    def _pile(self, peer: Peer) -> _Pile:
        return self._piles[peer.owner][peer]

    def _count(self, peer: Peer, change: int) -> None:
        self.used += change
        self._bytes[peer.owner] += change
        self._pile(peer).size += change

    def _largest_peer(self) -> Peer:
        piles = self._piles[max(self._bytes, key=self._bytes.__getitem__)]
        return max(piles, key=lambda peer: piles[peer].size)

    def _make_room(self, peer: Peer, spared: Holding) -> None:
        """Evict the oldest holding of a peer, never the one that needs the room.

        Raises:
            Overloaded: there is none, or evicting it released the one that needs the room.
        """
        oldest = next((each for each in self._pile(peer).holdings if each is not spared), None)
        if oldest is None:
            raise _no_room()
        self.release(oldest)
        oldest.on_evicted()
        if not self._is_held(spared):
            raise _no_room()

    def _is_held(self, holding: Holding) -> bool:
        pile = self._piles.get(holding.peer.owner, {}).get(holding.peer)
        return pile is not None and holding in pile.holdings


def _no_room() -> Overloaded:
    return Overloaded("the server has no room for unfinished images; try again later", retry_after=1.0)
