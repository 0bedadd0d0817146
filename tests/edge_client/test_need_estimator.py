"""How many layers images need, learned from which layers were enough."""

import random

import pytest

from overtone.edge_client.need_estimator import CARD_WEIGHT, MEMORY, NeedEstimator
from overtone.edge_client.observation import Observation, Reply
from overtone.edge_client.plan import ON_DEMAND, Plan, together
from overtone.edge_client.stage import Stage

SIZES = (400, 400, 700)


def seen(
    plan: Plan, *layers: int, stage: Stage = "low", sent: int = 400, sizes: tuple[int, ...] = SIZES
) -> Observation:
    """An image to which the server replied with these numbers of layers, the last of them being the answer's."""
    replies = tuple(Reply(0.1 * i, number, sent) for i, number in enumerate(layers, 1))
    return Observation(plan, sizes, replies, (400, 0, 0), sent, 0.01, stage)


def test_at_first_the_card_is_believed() -> None:
    assert NeedEstimator(0.9).shares(2) == pytest.approx((1.0, 0.1))
    assert NeedEstimator(0.6).shares(3) == pytest.approx((1.0, 0.4, 0.2))
    assert NeedEstimator().shares(1) == (1.0,)


def test_shares_are_learned_layer_by_layer() -> None:
    estimator, rng = NeedEstimator(0.5), random.Random(2)
    for _ in range(2000):
        needs = rng.choices((1, 2, 3), (61, 30, 9))[0]
        estimator.observe(seen(ON_DEMAND, *range(2, needs + 1), needs))
    assert estimator.shares(3) == pytest.approx((1.0, 0.39, 0.09), abs=0.06)


def test_recent_images_count_most() -> None:
    estimator = NeedEstimator(0.0)
    for _ in range(int(3 * MEMORY)):
        estimator.observe(seen(ON_DEMAND, 1))
    assert estimator.shares(2)[1] < 0.07


def test_layers_that_came_together_are_judged_one_by_one() -> None:
    estimator = NeedEstimator(0.5)
    estimator.observe(seen(together(2), 1, sent=800))
    assert estimator.shares(2)[1] == pytest.approx(0.5 * CARD_WEIGHT / (CARD_WEIGHT + 1))
    for _ in range(int(3 * MEMORY)):
        estimator.observe(seen(together(2), 2, sent=800))
    one, two = estimator.shares(3)[1:]
    assert (one > 0.9, two < 0.1) == (True, True)


def test_a_busy_server_does_not_tell_whether_its_answer_was_enough() -> None:
    estimator = NeedEstimator(0.8)
    for _ in range(50):
        estimator.observe(seen(ON_DEMAND, 1, stage="brownout"))
    assert estimator.shares(2)[1] == pytest.approx(0.2)
    estimator.observe(seen(ON_DEMAND, 2, 1, stage="brownout"))
    assert estimator.shares(2)[1] > 0.2


def test_a_request_for_two_layers_counts_for_both() -> None:
    estimator = NeedEstimator(0.5)
    estimator.observe(seen(ON_DEMAND, 3, 3))
    one, two = estimator.shares(3)[1:]
    assert one > 0.5
    assert two / one > 0.5


def test_bytes_that_were_not_needed() -> None:
    assert seen(Plan(1, 2), 1, sent=656).wasted == 256
    assert seen(Plan(1, 3, promised=True), 1, sent=1500).wasted == 1100
    assert seen(Plan(1, 3, promised=True), 2, sent=1500).wasted == 700
    asked = seen(Plan(1, 2), 2, 1, sent=800, stage="brownout")
    assert (asked.needed, asked.wasted) == (2, 0)


@pytest.mark.parametrize(
    ("plan", "layers", "looks"),
    [
        (ON_DEMAND, (1,), 1),
        (ON_DEMAND, (2, 2), 2),
        (ON_DEMAND, (2, 3, 3), 3),
        (ON_DEMAND, (3, 3), 2),
        (together(2), (1,), 1),
        (together(2), (2,), 2),
        (together(2), (3, 3), 3),
        (Plan(1, 3, promised=True), (3,), 3),
        (Plan(1, 2), (2, 2), 2),
        (Plan(1, 2), (3, 3), 3),
    ],
)
def test_how_often_the_server_looked(plan: Plan, layers: tuple[int, ...], looks: int) -> None:
    assert seen(plan, *layers).judgements == looks
