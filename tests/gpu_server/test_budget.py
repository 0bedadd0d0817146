from collections import Counter

import pytest

from overtone.gpu_server.errors import Overloaded, OverShare
from overtone.gpu_server.limits.budget import ALL, PEER, Budget


def test_budget() -> None:
    budget = Budget(10)
    budget.acquire(6)
    with pytest.raises(Overloaded):
        budget.acquire(5)
    budget.release(6)
    budget.acquire(10)
    assert budget.used == 10


def test_one_peer_has_a_part_and_leaves_the_rest_to_others() -> None:
    refused: Counter[str] = Counter()

    def count(scope: str) -> None:
        refused[scope] += 1

    budget = Budget(10, 0.5, on_refused=count)
    budget.acquire(5, "bad")
    with pytest.raises(OverShare):
        budget.acquire(1, "bad")
    budget.acquire(4, "good")
    with pytest.raises(Overloaded) as full:
        budget.acquire(2, "third")
    assert not isinstance(full.value, OverShare)
    assert refused == {PEER: 1, ALL: 1}
    budget.release(5, "bad")
    with budget.holding(5, "third"):
        assert (budget.used, budget.of("third")) == (9, 5)
    assert (budget.used, budget.of("third"), budget.of("bad")) == (4, 0, 0)


def test_a_peer_may_always_hold_one() -> None:
    Budget(1, 0.1).acquire(1, "anybody")
