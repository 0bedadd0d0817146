from dataclasses import replace

import numpy as np
import pytest

from overtone.frequency import Decoded
from overtone.gpu_server.answer import Answer, NeedMore, Score, Stage
from overtone.gpu_server.decoded_image import DecodedImage
from overtone.gpu_server.errors import Overloaded, StateLost
from overtone.gpu_server.limits.fair_share import Peer
from overtone.gpu_server.state import OVERHEAD, Store
from overtone.gpu_server.telemetry.metrics import Metrics
from tests.gpu_server.conftest import Clock, value

SO_FAR = Answer(Stage.LOW, (Score(0, "cat", 0.4),), False, 1)
STEPS = np.ones(1, np.float32)
ENTRY = 100 + OVERHEAD
ANN, BOB = Peer("ann"), Peer("bob")


def pending(size: int = 100) -> NeedMore:
    """An image of which so many bytes are known, at least those of its steps."""
    values = np.zeros((1, 1, (size - STEPS.nbytes) // 2), np.int16)
    return NeedMore(2, SO_FAR, DecodedImage(Decoded(values, STEPS, 1, 1)))


@pytest.fixture
def store(metrics: Metrics, clock: Clock) -> Store:
    """A quarter for uploads that nobody asked for; of the rest, room for twelve entries, three of each peer."""
    return Store(16 * ENTRY, 30.0, metrics, clock)


def count(metrics: Metrics, name: str) -> float:
    return value(metrics, f"overtone_state_{name}_total")


def test_a_token_is_good_for_its_owner_only(store: Store, metrics: Metrics) -> None:
    token = store.issue("ann", pending())
    with pytest.raises(StateLost):
        store.get(("bob", 0, token))
    with pytest.raises(StateLost):
        store.get(("ann", 1, token))  # another model
    assert store.get(("ann", 0, token)).size == 100
    assert (count(metrics, "hits"), count(metrics, "misses")) == (1, 2)


def test_a_check_counts_only_what_is_missing(store: Store, metrics: Metrics) -> None:
    store.put("a", ANN, pending())
    store.check("a")
    assert count(metrics, "hits") == 0
    with pytest.raises(StateLost):
        store.check("b")
    assert count(metrics, "misses") == 1


def test_tokens_differ_and_are_long(store: Store) -> None:
    tokens = {store.issue("ann", pending(4)) for _ in range(50)}
    assert len(tokens) == 50
    assert min(map(len, tokens)) >= 20


def test_the_oldest_entry_of_a_peer_gives_way(store: Store, metrics: Metrics) -> None:
    for key in range(4):
        store.put(key, ANN, pending())
    with pytest.raises(StateLost):
        store.get(0)
    assert store.get(3)
    assert store.bytes == 3 * ENTRY
    assert count(metrics, "evictions") == 1


def test_the_result_of_low_counts_too(store: Store) -> None:
    need = pending()
    image = replace(need.image, low_row=np.zeros(100, np.float32))
    store.put("a", ANN, replace(need, image=image))
    assert store.bytes == ENTRY + 400
    store.drop("a")
    assert store.bytes == 0


def test_what_is_larger_than_all_the_room_is_lost_and_moves_nothing(store: Store, metrics: Metrics) -> None:
    store.put("a", ANN, pending())
    store.put("b", ANN, pending(10_000))
    with pytest.raises(StateLost):
        store.get("b")
    assert store.get("a")
    assert count(metrics, "evictions") == 1


def test_bounded_by_time(store: Store, clock: Clock) -> None:
    store.put("a", ANN, pending())
    clock.now = 29.9
    assert store.get("a")
    clock.now = 30.0
    with pytest.raises(StateLost):
        store.get("a")
    assert store.bytes == 0


def test_put_again_renews(store: Store, clock: Clock) -> None:
    store.put("a", ANN, pending())
    clock.now = 20.0
    store.put("b", BOB, pending())
    store.put("a", ANN, pending(50))
    clock.now = 40.0
    assert store.get("a").size == 50
    assert store.bytes == 150 + 2 * OVERHEAD


def test_drop(store: Store) -> None:
    store.put("a", ANN, pending())
    store.drop("a")
    store.drop("a")
    assert store.bytes == 0
    with pytest.raises(StateLost):
        store.get("a")


def test_uploads_that_nobody_asked_for_push_out_nothing_else(store: Store) -> None:
    for owner in range(4):
        for key in range(3):
            store.put((owner, key), Peer(f"owner {owner}"), pending())
    evicted: list[int] = []
    uploads = [store.reserve(Peer(f"uploader {i}"), lambda i=i: evicted.append(i)) for i in range(5)]  # type: ignore[misc]
    for upload in uploads:
        upload.grow(ENTRY)  # one more than there is room for
    assert evicted == [0]
    for owner in range(4):
        for key in range(3):
            assert store.get((owner, key))
    for upload in uploads:
        upload.release()
    assert store.bytes == 12 * ENTRY


def test_an_upload_that_was_asked_for_has_the_room_of_entries(store: Store) -> None:
    evicted: list[bool] = []
    upload = store.reserve(ANN, lambda: evicted.append(True))
    upload.grow(ENTRY)
    upload.request()
    upload.grow(2 * ENTRY)
    assert store.bytes == 3 * ENTRY
    with pytest.raises(Overloaded):
        upload.grow(1)  # more than one peer may hold
    store.put("a", ANN, pending())
    assert evicted == [True]
    assert store.bytes == ENTRY
    upload.release()
    assert store.bytes == ENTRY
