import random

import pytest

from overtone.gpu_server.errors import Overloaded
from overtone.gpu_server.limits.fair_share import FairShare, Holding, Peer


class Holder:
    """Somebody who holds bytes, and notes what is taken from them."""

    def __init__(self, share: FairShare, owner: str, session: int = 0) -> None:
        self._share = share
        self._peer = Peer(owner, session)
        self.held: list[Holding] = []
        self.lost = 0

    @property
    def bytes(self) -> int:
        return sum(holding.size for holding in self.held)

    def hold(self, size: int) -> Holding:
        holding = Holding(self._peer, size, lambda: self._lose(holding))
        self._share.hold(holding)
        self.held.append(holding)
        return holding

    def release(self, holding: Holding) -> None:
        self.held.remove(holding)
        self._share.release(holding)

    def _lose(self, holding: Holding) -> None:
        self.held.remove(holding)
        self.lost += 1


def test_whoever_holds_most_gives_way() -> None:
    share = FairShare(100)
    greedy = [Holder(share, "greedy", session) for session in range(4)]
    modest = Holder(share, "modest")
    modest.hold(4)
    for _ in range(10):
        for holder in greedy:
            holder.hold(10)
    assert share.used <= 100
    modest.hold(4)
    assert (modest.lost, modest.bytes) == (0, 8)
    assert sum(holder.bytes for holder in greedy) <= 92


def test_many_small_sessions_of_one_owner_count_together() -> None:
    share = FairShare(100)
    modest = Holder(share, "modest")
    for _ in range(4):
        modest.hold(5)
    crowd = [Holder(share, "greedy", session) for session in range(50)]
    for holder in crowd:
        holder.hold(4)
    assert (modest.lost, modest.bytes) == (0, 20)
    assert sum(holder.lost for holder in crowd) == 30


def test_within_an_owner_the_largest_session_gives_way() -> None:
    share = FairShare(100)
    large, small = [Holder(share, "all", session) for session in range(4)], Holder(share, "all", 9)
    small.hold(1)
    for holder in large:
        holder.hold(12)
        holder.hold(12)
    small.hold(10)
    assert small.lost == 0
    assert sum(holder.lost for holder in large) == 1


def test_one_session_holds_a_quarter_at_most() -> None:
    share = FairShare(100)
    holder = Holder(share, "ann")
    holder.hold(20)
    holder.hold(20)
    assert (holder.lost, holder.bytes, share.used) == (1, 20, 20)
    with pytest.raises(Overloaded):
        holder.hold(26)
    assert (holder.lost, share.used) == (1, 20)


def test_what_grows_is_refused_rather_than_evicted() -> None:
    share = FairShare(100)
    holders = [Holder(share, f"owner {i}") for i in range(5)]
    holdings = [holder.hold(20) for holder in holders]
    with pytest.raises(Overloaded):
        share.grow(holdings[0], 1)  # nobody holds more
    share.grow(holdings[0], 0)
    holders[4].release(holdings[4])
    share.grow(holdings[0], 1)
    assert (share.used, [holder.lost for holder in holders]) == (81, [0] * 5)


@pytest.mark.parametrize("seed", range(5))
def test_bytes_add_up(seed: int) -> None:
    rng = random.Random(seed)
    share = FairShare(1000)
    holders = [Holder(share, f"owner {i % 4}", i) for i in range(12)]
    for _ in range(2000):
        holder = rng.choice(holders)
        try:
            match rng.randrange(3):
                case 0:
                    holder.hold(rng.randrange(120))
                case 1 if holder.held:
                    share.grow(rng.choice(holder.held), rng.randrange(60))
                case 2 if holder.held:
                    holder.release(rng.choice(holder.held))
        except Overloaded:
            pass
        assert share.used == sum(each.bytes for each in holders) <= 1000
    for holder in holders:
        for holding in list(holder.held):
            holder.release(holding)
            share.release(holding)  # a second time, without effect
    assert share.used == 0


def test_what_is_given_up_while_room_is_made_for_it_is_not_counted() -> None:
    """A holding of the same image gives way, and the image is given up with all that it holds."""
    share = FairShare(100)
    peer = Peer("ann")
    growing = Holding(peer, 10, lambda: None)
    older = Holding(peer, 10, lambda: share.release(growing))
    share.hold(older)
    share.hold(growing)
    with pytest.raises(Overloaded):
        share.grow(growing, 10)
    assert share.used == 0
    share.hold(Holding(peer, 25, lambda: None))  # all that one session may hold is free again
    assert share.used == 25
