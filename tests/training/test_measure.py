from pathlib import Path

import numpy as np
import pytest

from overtone.models import Card, OperatingPoint, Temperature, read_card
from overtone.models.deferral import Rule
from overtone.training.calibrate import modes
from overtone.training.measure import GRID, early_answers, measure, points, top_hits
from overtone.training.predict import Predictions


def predictions(n: int = 300, classes: int = 10, seed: int = 0) -> Predictions:
    """Two imperfect classifiers, the high one better."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, n)
    one_hot = np.eye(classes)[targets]
    low, high = (k * one_hot + rng.gumbel(size=(n, classes)) for k in (2.0, 4.0))
    return Predictions(low, high, targets, rng.integers(400, 600, n), rng.integers(900, 1100, n))


@pytest.fixture
def card(tiny_checkpoint: Path) -> Card:
    return read_card(tiny_checkpoint).model_copy(update={"temperature": Temperature(low=0.8, high=1.3)})


def test_top_hits_by_hand() -> None:
    logits = np.array([[3.0, 2, 1, 0], [0, 1, 2, 3], [1, 1, 1, 1]])
    targets = np.array([1, 0, 1])
    assert [top_hits(logits, targets, k).tolist() for k in (1, 2, 3, 4)] == [
        [False, False, False],
        [True, False, True],
        [True, False, True],
        [True, True, True],
    ]
    # Fewer classes than places: all of them count.
    assert top_hits(logits, targets, 5).all()


def test_first_of_equals_is_what_argmax_takes() -> None:
    logits = np.random.default_rng(0).integers(0, 3, (200, 6)).astype(float)
    targets = np.arange(200) % 6
    assert (top_hits(logits, targets, 1) == (logits.argmax(axis=1) == targets)).all()


def test_thresholds_are_those_of_modes(card: Card) -> None:
    p = predictions()
    found = measure(p, card, 2, 0.7)
    assert [row.threshold for row in found.thresholds] == sorted({*GRID, 0.0, 0.5, 1.1})
    for row in (*found.thresholds, *found.curve):
        expected = modes(p, card.temperature, row.threshold)
        assert row.exit_share == expected.exit_share
        assert row.top1 == expected.cascade
        assert row.mean_bytes == expected.mean_bytes
        assert row.mean_macs == pytest.approx(
            card.cost.macs - row.exit_share * (card.cost.macs - card.cost.low_macs)
        )
    for rows in (found.thresholds, found.curve):
        shares, sent = [row.exit_share for row in rows], [row.mean_bytes for row in rows]
        assert shares == sorted(shares, reverse=True)
        assert sent == sorted(sent)
    assert (found.curve[0].exit_share, found.curve[-1].exit_share) == (1, 0)
    assert found.curve[-1].low_answer_top1 is None


def test_modes_have_their_bytes_and_cost(card: Card) -> None:
    p = predictions()
    found = measure(p, card, 2, 0.7)
    expected = modes(p, card.temperature, 0.7)
    assert (found.low.top1, found.both.top1, found.cascade.top1) == (
        expected.low,
        expected.both,
        expected.cascade,
    )
    assert found.low.mean_bytes == p.low_bytes.mean()
    assert found.both.mean_bytes == pytest.approx((p.low_bytes + p.high_bytes).mean())
    assert (found.low.mean_macs, found.both.mean_macs) == (card.cost.low_macs, card.cost.macs)
    for mode in (found.low, found.both, found.cascade):
        assert mode.top1 < mode.top5 <= 1
    assert found.low.top5 == np.mean([t in np.argsort(x)[-5:] for x, t in zip(p.low, p.targets, strict=True)])


def test_points_are_named_and_stand_once(card: Card) -> None:
    named = dict(points(card, 2, 0.62))
    assert named == dict.fromkeys(GRID, "") | {0.0: "always", 1.1: "never", 0.5: "default", 0.62: "asked"}
    assert dict(points(card, 2, 0.5))[0.5] == "default"


def test_points_of_a_quality_are_that_qualitys(card: Card) -> None:
    both = tuple(OperatingPoint(name="default", threshold=t, quality=q) for q, t in ((1, 0.33), (2, 0.44)))
    several = card.model_copy(update={"operating_points": both})
    assert dict(points(several, 1, 0.33))[0.33] == "default"
    assert 0.44 not in dict(points(several, 1, 0.33))


def test_a_rule_decides_in_place_of_the_threshold(card: Card) -> None:
    p = predictions()
    # A constant gain of about a half, so that high is worth its bytes where they are few.
    rule = Rule(both=(0, 0, 0, 0), low=(-9, 0, 0, 0), price=0.5 / 1000)
    early = early_answers(p, card.temperature, 0.0, rule)
    assert (early == (p.high_bytes >= 1000)).all()
    point = OperatingPoint(name="thrifty", threshold=0.0, rule=rule)
    ruled = card.model_copy(update={"operating_points": (point,), "operating_point": "thrifty"})
    found = measure(p, ruled, 2, 0.0, rule)
    assert found.exit_share == early.mean()
    last = found.thresholds[-1]
    assert (last.name, last.rule, last.exit_share) == ("thrifty", True, found.exit_share)


def test_temperature_is_before_and_after(card: Card) -> None:
    found = measure(predictions(), card, 2, 0.5).calibration
    assert (found["low"].temperature, found["high"].temperature) == (0.8, 1.3)
    # Dividing by less than one makes surer, by more than one less sure; who is right stays.
    assert found["low"].after.mean_confidence > found["low"].before.mean_confidence
    assert found["high"].after.mean_confidence < found["high"].before.mean_confidence
    assert found["low"].after.mean_accuracy == pytest.approx(found["low"].before.mean_accuracy)
