from pathlib import Path

import numpy as np
import pytest

from overtone.models import Card, OperatingPoint, Temperature, read_card
from overtone.training.evaluation.metrics import GRID, measure, named_thresholds, top_hits
from overtone.training.evaluation.predictions import Predictions
from overtone.training.evaluation.reliability import reliability
from tests.training.populations import predictions

P = predictions(300, classes=10)


@pytest.fixture
def card(tiny_checkpoint: Path) -> Card:
    return read_card(tiny_checkpoint).model_copy(update={"temperature": Temperature(low=0.8, high=1.3)})


def test_modes_by_hand() -> None:
    p = Predictions(
        low=np.array([[5.0, 0.0], [0.0, 5.0], [0.1, 0.0]]),
        high=np.array([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]),
        targets=np.array([0, 1, 1]),
        low_bytes=np.array([10, 20, 30]),
        high_bytes=np.array([100, 200, 300]),
    )
    found = p.modes(p.early(Temperature(), 0.9))
    assert (found.low, found.both, found.cascade) == (2 / 3, 2 / 3, 1.0)
    assert (found.exit_share, found.mean_bytes) == (2 / 3, 20 + 100)
    assert p.lost.tolist() == [False, False, True]
    assert p.take(np.array([2])).targets.tolist() == [1]


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
    rows = measure(P, card, 2, 0.7).thresholds
    assert [row.threshold for row in rows] == sorted({*GRID, 0.0, 0.5, 1.1})
    for row in rows:
        expected = P.modes(P.early(card.temperature, row.threshold))
        found = row.exit_share, row.top1, row.mean_payload_bytes
        assert found == (expected.exit_share, expected.cascade, expected.mean_bytes)
        saved = row.exit_share * (card.cost.macs - card.cost.low_macs)
        assert row.mean_macs == pytest.approx(card.cost.macs - saved)
    assert (rows[0].exit_share, rows[-1].exit_share, rows[-1].low_answer_top1) == (1, 0, None)


def test_modes_have_their_bytes_and_cost(card: Card) -> None:
    found = measure(P, card, 2, 0.7)
    expected = P.modes(P.early(card.temperature, 0.7))
    top1 = found.low.top1, found.both.top1, found.cascade.top1
    assert top1 == (expected.low, expected.both, expected.cascade)
    assert found.low.mean_payload_bytes == P.low_bytes.mean()
    assert found.both.mean_payload_bytes == pytest.approx((P.low_bytes + P.high_bytes).mean())
    assert (found.low.mean_macs, found.both.mean_macs) == (card.cost.low_macs, card.cost.macs)
    assert all(mode.top1 < mode.top5 <= 1 for mode in (found.low, found.both, found.cascade))


def test_thresholds_are_named_and_occur_once(card: Card) -> None:
    named = dict(named_thresholds(card, 2, 0.62))
    assert named == dict.fromkeys(GRID, "") | {0.0: "always", 1.1: "never", 0.5: "default", 0.62: "asked"}
    points = tuple(OperatingPoint(name="default", threshold=t, quality=q) for q, t in ((1, 0.33), (2, 0.44)))
    several = dict(named_thresholds(card.model_copy(update={"operating_points": points}), 1, 0.33))
    assert several[0.33] == "default"
    assert 0.44 not in several


def test_temperature_is_before_and_after(card: Card) -> None:
    found = measure(P, card, 2, 0.5).calibration
    assert (found["low"].temperature, found["high"].temperature) == (0.8, 1.3)
    # A divisor below one raises confidence, one above lowers it; accuracy stays.
    assert found["low"].after.confidence > found["low"].before.confidence
    assert found["high"].after.confidence < found["high"].before.confidence
    assert found["low"].after.accuracy == found["low"].before.accuracy


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
