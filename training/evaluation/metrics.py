"""What is measured on a cascade's predictions at one quality: modes, thresholds, reliability, cost."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overtone.models import Card, Cost, Temperature
from overtone.training.evaluation.predictions import Bools, Floats, Predictions, confidence
from overtone.training.evaluation.reliability import Reliability, reliability

# The thresholds that a table shows beside those of the card's operating points.
GRID = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.97, 0.99)


@dataclass(frozen=True)
class Mode:
    """One way to use a checkpoint: accuracies (fractions), and means per image."""

    top1: float
    top5: float
    mean_payload_bytes: float
    mean_macs: float


@dataclass(frozen=True)
class AtThreshold:
    """The cascade at one threshold: fractions, and means per image.

    `low_answer_top1` is the accuracy of the answers given from low, None if there are none.
    """

    threshold: float
    operating_point: str | None
    exit_share: float
    top1: float
    low_answer_top1: float | None
    mean_payload_bytes: float
    mean_macs: float


@dataclass(frozen=True)
class Calibration:
    """A stage's temperature, and its reliability without and with it."""

    temperature: float
    before: Reliability
    after: Reliability


@dataclass(frozen=True)
class Measured:
    """Everything about one quality; `cascade` and `exit_share` are those at `threshold`."""

    quality: int
    step: int  # the geometric mean of its channels' steps
    n: int
    threshold: float
    low: Mode
    both: Mode
    cascade: Mode
    exit_share: float
    # At the grid and the operating points, ascending.
    thresholds: tuple[AtThreshold, ...]
    # By stage: "low" and "high".
    calibration: dict[str, Calibration]


def top_hits(logits: Floats, targets: NDArray[np.int64], k: int) -> Bools:
    """Whether the target is among the k largest logits, bool[n]; of equal ones the first counts."""
    ranked = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    hits: Bools = (ranked == targets[:, None]).any(axis=1)
    return hits


def at_thresholds(
    p: Predictions, temperature: Temperature, cost: Cost, named: Sequence[tuple[float, str]]
) -> tuple[AtThreshold, ...]:
    """The cascade at thresholds (each with a name, or ""), in ascending order."""
    scores, rows = confidence(p.low, temperature.low), []
    for threshold, name in sorted(named):
        early = scores >= threshold
        found = p.modes(early)
        row = AtThreshold(
            threshold=threshold,
            operating_point=name or None,
            exit_share=found.exit_share,
            top1=found.cascade,
            low_answer_top1=float(p.low_correct[early].mean()) if early.any() else None,
            mean_payload_bytes=found.mean_bytes,
            mean_macs=cost.average(found.exit_share),
        )
        rows.append(row)
    return tuple(rows)


def calibrations(p: Predictions, temperature: Temperature) -> dict[str, Calibration]:
    """Reliability of both stages, before and after their temperatures."""

    def stage(logits: Floats, correct: Bools, divisor: float) -> Calibration:
        before, after = (reliability(confidence(logits, t), correct) for t in (1.0, divisor))
        return Calibration(divisor, before, after)

    return {
        "low": stage(p.low, p.low_correct, temperature.low),
        "high": stage(p.high, p.high_correct, temperature.high),
    }


def measure(p: Predictions, card: Card, quality: int, threshold: float) -> Measured:
    """Everything about predictions at one quality, with the card's temperatures."""
    temperature, cost = card.temperature, card_cost(card)
    early = p.early(temperature, threshold)
    found = p.modes(early)
    low_hits, high_hits = top_hits(p.low, p.targets, 5), top_hits(p.high, p.targets, 5)
    low_bytes, high_bytes = float(p.low_bytes.mean()), float(p.high_bytes.mean())
    cascade_top5 = float(np.where(early, low_hits, high_hits).mean())
    return Measured(
        quality=quality,
        step=round(float(np.exp(np.log(card.profile.low_steps(quality)).mean()))),
        n=len(p.targets),
        threshold=threshold,
        low=Mode(found.low, float(low_hits.mean()), low_bytes, cost.average(1)),
        both=Mode(found.both, float(high_hits.mean()), low_bytes + high_bytes, cost.macs),
        cascade=Mode(found.cascade, cascade_top5, found.mean_bytes, cost.average(found.exit_share)),
        exit_share=found.exit_share,
        thresholds=at_thresholds(p, temperature, cost, named_thresholds(card, quality, threshold)),
        calibration=calibrations(p, temperature),
    )


def named_thresholds(card: Card, quality: int, threshold: float) -> list[tuple[float, str]]:
    """The grid, the card's thresholds for a quality, and the one in use, each once with its names."""
    names: dict[float, list[str]] = {t: [] for t in GRID}
    for name in dict.fromkeys(p.name for p in card.operating_points):
        names.setdefault(card.threshold(name, quality), []).append(name)
    names.setdefault(threshold, ["asked"])
    return [(t, ", ".join(given)) for t, given in names.items()]


def card_cost(card: Card) -> Cost:
    """What the card says the network costs."""
    return Cost(card.cost.parameters, card.cost.macs, card.cost.low_macs)
