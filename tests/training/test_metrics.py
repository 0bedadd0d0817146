from pathlib import Path

import numpy as np
import pytest

from overtone.frequency import THREE_LAYERS
from overtone.models import Card, OperatingPoint, read_card
from overtone.training.evaluation.metrics import GRID, measure, named_rules, top_hits
from overtone.training.evaluation.predictions import Predictions
from overtone.training.evaluation.reliability import reliability
from overtone.training.evaluation.stopping import Rule, layers_taken
from tests.ladders import with_ladder
from tests.training.populations import predictions, three_layers

P = predictions(300, classes=10)
RULE = Rule((0.7,))


@pytest.fixture
def card(tiny_checkpoint: Path) -> Card:
    return read_card(tiny_checkpoint).model_copy(update={"temperatures": (0.8, 1.3)})


def test_modes_by_hand() -> None:
    p = Predictions(
        np.array(
            [
                [[5.0, 0.0], [0.0, 5.0], [0.1, 0.0]],
                [[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]],
            ]
        ),
        targets=np.array([0, 1, 1]),
        sizes=np.array([[10, 20, 30], [100, 200, 300]]),
    )
    layers = p.layers_taken((1.0, 1.0), Rule((0.9,)))
    assert layers.tolist() == [1, 1, 2]
    found = p.summary(layers)
    assert (found.low, found.both, found.cascade) == (2 / 3, 2 / 3, 1.0)
    assert found.shares == pytest.approx((2 / 3, 1 / 3))
    assert (found.exit_share, found.mean_bytes) == (2 / 3, 20 + 100)
    assert p.lost(np.ones(3, np.int64)).tolist() == [False, False, True]
    assert p.take(np.array([2])).targets.tolist() == [1]
    assert p.agreeing().targets.tolist() == [1, 1, 1]


def test_three_layers_by_hand() -> None:
    sure, unsure = [9.0, 0.0], [0.5, 0.0]
    p = Predictions(
        np.array([[sure, unsure, unsure], [sure, sure, unsure], [[0.0, 9.0]] * 3]),
        targets=np.array([0, 1, 1]),
        sizes=np.array([[10, 20, 30], [1, 2, 3], [100, 200, 300]]),
        low_layers=2,
    )
    layers = p.layers_taken((1.0, 1.0, 1.0), Rule((0.9, 0.9)))
    assert layers.tolist() == [1, 2, 3]
    assert p.correct_after(layers).tolist() == [True, False, True]
    assert p.lost(layers).tolist() == [False, True, False]
    assert p.bytes_after(layers).tolist() == [10, 22, 333]
    judged = p.judged((1.0, 1.0, 1.0), Rule((0.9, 0.9), (0.7, 0.0)))
    assert judged.T.tolist() == [[True, False, False], [True, False, True], [True, False, True]]
    assert p.take(layers > 1).sizes.tolist() == [[20, 30], [2, 3], [200, 300]]
    found = p.summary(layers)
    assert found.top1 == pytest.approx((1 / 3, 1 / 3, 2 / 3))
    assert found.shares == pytest.approx((1 / 3,) * 3)


def test_top_hits() -> None:
    logits = np.array([[3.0, 2, 1, 0], [0, 1, 2, 3], [1, 1, 1, 1]])
    targets = np.array([1, 0, 1])
    assert [top_hits(logits, targets, k).tolist() for k in (1, 2, 4, 5)] == [
        [False, False, False],
        [True, False, True],
        [True, True, True],
        [True, True, True],
    ]
    # Of equal logits the first counts, as in argmax.
    logits = np.random.default_rng(0).integers(0, 3, (200, 6)).astype(float)
    assert (top_hits(logits, np.arange(200) % 6, 1) == (logits.argmax(axis=1) == np.arange(200) % 6)).all()


def test_thresholds_are_those_of_modes(card: Card) -> None:
    rows = measure(P, card, 2, RULE).thresholds
    assert [row.threshold for row in rows] == sorted({*GRID, 0.0, 0.5, 1.1})
    for row in rows:
        expected = P.summary(P.layers_taken(card.temperatures, Rule((row.threshold,))))
        found = row.exit_share, row.top1, row.mean_payload_bytes
        assert found == (expected.exit_share, expected.cascade, expected.mean_bytes)
        saved = row.exit_share * (card.cost.macs - card.cost.low_macs)
        assert row.mean_macs == pytest.approx(card.cost.macs - saved)
    assert (rows[0].exit_share, rows[-1].exit_share, rows[-1].low_answer_top1) == (1, 0, None)


def test_modes_have_their_bytes_and_cost(card: Card) -> None:
    found = measure(P, card, 2, RULE)
    expected = P.summary(P.layers_taken(card.temperatures, RULE))
    top1 = found.low.top1, found.both.top1, found.cascade.top1
    assert top1 == (expected.low, expected.both, expected.cascade)
    assert found.low.mean_payload_bytes == P.sizes[0].mean()
    assert found.both.mean_payload_bytes == pytest.approx(P.sizes.sum(axis=0).mean())
    assert (found.low.mean_macs, found.both.mean_macs) == (card.cost.low_macs, card.cost.macs)
    assert all(mode.top1 < mode.top5 <= 1 for mode in (found.low, found.both, found.cascade))


def test_thresholds_are_named_and_occur_once(card: Card) -> None:
    named = {rule.thresholds[0]: name for rule, name in named_rules(card, 2, Rule((0.62,)))}
    assert named == dict.fromkeys(GRID, "") | {0.0: "always", 1.1: "never", 0.5: "default", 0.62: "asked"}
    points = tuple(
        OperatingPoint(name="default", thresholds=(t,), quality=q) for q, t in ((1, 0.33), (2, 0.44))
    )
    several = dict(named_rules(card.model_copy(update={"operating_points": points}), 1, Rule((0.33,))))
    assert several[Rule((0.33,))] == "default"
    assert Rule((0.44,)) not in several


def test_temperature_is_before_and_after(card: Card) -> None:
    low, high = measure(P, card, 2, Rule((0.5,))).calibration
    assert (low.temperature, high.temperature) == (0.8, 1.3)
    # A divisor below one raises confidence, one above lowers it; accuracy stays.
    assert low.after.confidence > low.before.confidence
    assert high.after.confidence < high.before.confidence
    assert low.after.accuracy == low.before.accuracy


def test_a_layer_is_measured_each(card: Card) -> None:
    profile = with_ladder(card.profile, THREE_LAYERS)
    points = (OperatingPoint(name="default", thresholds=(0.6, 0.5)),)
    temperatures = (0.8, 0.9, 1.3)
    changed = {"profile": profile, "operating_points": points, "temperatures": temperatures}
    card = card.model_copy(update=changed)
    p = three_layers(300, classes=10)
    rule = Rule((0.6, 0.5), (0.2, 0.0))
    found, judged = measure(p, card, 2, rule), p.judged(temperatures, rule)
    assert [(layer.band, layer.factor) for layer in found.layers] == list(THREE_LAYERS)
    expected = p.summary(layers_taken(judged))
    assert tuple(layer.top1 for layer in found.layers) == expected.top1
    assert tuple(layer.share for layer in found.layers) == expected.shares
    assert [layer.bytes for layer in found.layers] == p.sizes.mean(axis=1).tolist()
    assert (found.low.top1, found.both.top1) == (expected.top1[0], expected.top1[-1])
    # Low runs again after layer 2, unless all was requested at once.
    low, high = judged[:2].sum(), judged[2].sum()
    cost = card.cost
    macs = (low * cost.low_macs + high * (cost.macs - cost.low_macs)) / 300
    assert found.cascade.mean_macs == pytest.approx(macs)
    assert len(found.calibration) == 3
    assert {row.operating_point for row in found.thresholds} >= {"default", "asked"}


def test_calibration_error() -> None:
    # Two bins: one of two answers, half correct at 0.3; one of three, all correct at 0.8, 0.9 and 1.
    confidence = np.array([0.2, 0.4, 0.8, 0.9, 1.0])
    found = reliability(confidence, np.array([True, False, True, True, True]), bins=2)
    assert found.ece == pytest.approx((2 * 0.2 + 3 * 0.1) / 5)
    assert found.confidence == pytest.approx(3.3 / 5)
    assert found.accuracy == pytest.approx(4 / 5)
    # Bins include their upper bound.
    found = reliability(np.array([0.5, 0.51, 1.0]), np.array([True, True, False]), bins=4)
    assert found.ece == pytest.approx((0.5 + 0.49 + 1) / 3)
    rng = np.random.default_rng(0)
    confidence = rng.random(200_000)
    assert reliability(confidence, rng.random(200_000) < confidence).ece < 0.01
