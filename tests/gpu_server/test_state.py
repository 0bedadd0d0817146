from dataclasses import replace

import numpy as np
import pytest

from overtone.gpu_server.answer import Answer, NeedHigh, Score, Stage
from overtone.gpu_server.errors import Overloaded, StateLost
from overtone.gpu_server.metrics import Metrics
from overtone.gpu_server.state import OVERHEAD, Budget, PendingImage, Store

NEED = NeedHigh(Answer(Stage.BROWNOUT, (Score(0, "cat", 0.4),), False), 10)


def kept(size: int = 100) -> PendingImage:
    return PendingImage(b"x" * size, NEED)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def store(metrics: Metrics, clock: Clock) -> Store:
    return Store(3 * (100 + OVERHEAD), 30.0, metrics, clock)


def count(metrics: Metrics, name: str) -> float:
    return metrics.registry.get_sample_value(f"overtone_state_{name}_total") or 0.0


def test_a_token_is_good_for_its_owner_only(store: Store, metrics: Metrics) -> None:
    token = store.issue("ann", kept())
    with pytest.raises(StateLost):
        store.get(("bob", token))
    assert store.get(("ann", token)).low == b"x" * 100
    assert count(metrics, "hits") == count(metrics, "misses") == 1


def test_a_look_counts_only_what_is_missing(store: Store, metrics: Metrics) -> None:
    store.put("a", kept())
    store.check("a")
    assert count(metrics, "hits") == 0
    with pytest.raises(StateLost):
        store.check("b")
    assert count(metrics, "misses") == 1


def test_tokens_differ_and_are_long(store: Store) -> None:
    tokens = {store.issue("ann", kept(0)) for _ in range(50)}
    assert len(tokens) == 50
    assert min(map(len, tokens)) >= 20


def test_bounded_by_bytes_oldest_out_first(store: Store, metrics: Metrics) -> None:
    for key in range(4):
        store.put(key, kept())
    with pytest.raises(StateLost):
        store.get(0)
    assert store.get(3)
    assert store.bytes == 3 * (100 + OVERHEAD)
    assert count(metrics, "evictions") == 1


def test_what_low_has_said_counts_too(store: Store) -> None:
    said = np.zeros(100, np.float32)
    store.put("a", PendingImage(b"x" * 100, replace(NEED, probabilities=said)))
    assert store.bytes == 100 + OVERHEAD + 400
    store.drop("a")
    assert store.bytes == 0


def test_larger_than_all_the_room_is_lost(store: Store) -> None:
    store.put("a", kept(10_000))
    with pytest.raises(StateLost):
        store.get("a")
    assert store.bytes == 0


def test_bounded_by_time(store: Store, clock: Clock) -> None:
    store.put("a", kept())
    clock.now = 29.9
    assert store.get("a")
    clock.now = 30.0
    with pytest.raises(StateLost):
        store.get("a")
    assert store.bytes == 0


def test_put_again_renews(store: Store, clock: Clock) -> None:
    store.put("a", kept())
    clock.now = 20.0
    store.put("b", kept())
    store.put("a", kept(50))
    clock.now = 40.0
    assert store.get("a").low == b"x" * 50
    assert store.bytes == 150 + 2 * OVERHEAD


def test_drop(store: Store) -> None:
    store.put("a", kept())
    store.drop("a")
    store.drop("a")
    assert store.bytes == 0
    with pytest.raises(StateLost):
        store.get("a")


def test_reserved_bytes_push_entries_out_but_not_each_other(store: Store) -> None:
    store.put("a", kept())
    store.reserve(3 * (100 + OVERHEAD) - 10)
    with pytest.raises(StateLost):
        store.get("a")
    with pytest.raises(Overloaded):
        store.reserve(11)
    store.release(3 * (100 + OVERHEAD) - 10)
    assert store.bytes == 0


def test_budget() -> None:
    budget = Budget(10)
    budget.acquire(6)
    with pytest.raises(Overloaded):
        budget.acquire(5)
    budget.release(6)
    budget.acquire(10)
    assert budget.used == 10
