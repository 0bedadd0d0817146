"""What is read off a cascade's predictions at one quality: three modes, thresholds, reliability, cost."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from overtone.models import Card, Cost, OperatingPoint, Temperature
from overtone.models.deferral import Rule
from overtone.training.modes import confidence, modes_of
from overtone.training.predict import Predictions
from overtone.training.reliability import Reliability, reliability

# Thresholds a table shows beside the card's operating points.
GRID = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.97, 0.99)
CURVE_POINTS = 201


@dataclass(frozen=True)
class Mode:
    """One way to use a checkpoint: accuracies (fractions), and means per picture."""

    top1: float
    top5: float
    mean_bytes: float
    mean_macs: float


@dataclass(frozen=True)
class AtThreshold:
    """The cascade at one threshold: fractions, and means per picture.

    `low_answer_top1` is the accuracy of the answers given from low, None where there are none. `name` is the
    operating point's, or empty. With `rule`, its rate-aware rule decides in place of the threshold.
    """

    threshold: float
    name: str
    exit_share: float
    top1: float
    low_answer_top1: float | None
    mean_bytes: float
    mean_macs: float
    rule: bool = False


@dataclass(frozen=True)
class Calibration:
    """A stage's temperature, and its reliability without and with it."""

    temperature: float
    before: Reliability
    after: Reliability


@dataclass(frozen=True)
class Measured:
    """Everything about one quality; `cascade` and `exit_share` are taken at `threshold`, or by a rule."""

    quality: int
    step: int  # the geometric mean of its channels' steps
    n: int
    threshold: float
    rule: bool
    low: Mode
    both: Mode
    cascade: Mode
    exit_share: float
    # At the grid and the operating points, and at many steps from 0 to 1 for a curve; both ascend.
    thresholds: tuple[AtThreshold, ...]
    curve: tuple[AtThreshold, ...]
    # By stage: "low" and "high".
    calibration: dict[str, Calibration]


def top_hits(logits: NDArray[np.float64], targets: NDArray[np.int64], k: int) -> NDArray[np.bool_]:
    """bool[n]: is the target among the k largest logits float64[n, classes]? Of equals the first counts."""
    ranked = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    hits: NDArray[np.bool_] = (ranked == targets[:, None]).any(axis=1)
    return hits


def early_answers(
    p: Predictions, temperature: Temperature, threshold: float, rule: Rule | None = None
) -> NDArray[np.bool_]:
    """Which pictures are answered from low, bool[n]: by the threshold, or by a rate-aware rule."""
    if rule is None:
        return confidence(p.low, temperature.low) >= threshold
    return ~rule.escalates(softmax(p.low / temperature.low, axis=1), p.high_bytes)


def at(p: Predictions, cost: Cost, early: NDArray[np.bool_], threshold: float, name: str = "") -> AtThreshold:
    """The cascade that answers the `early` pictures, bool[n], from low."""
    found = modes_of(p, early)
    low_right = top_hits(p.low, p.targets, 1)
    return AtThreshold(
        threshold=threshold,
        name=name,
        exit_share=found.exit_share,
        top1=found.cascade,
        low_answer_top1=float(low_right[early].mean()) if early.any() else None,
        mean_bytes=found.mean_bytes,
        mean_macs=cost.average(found.exit_share),
    )


def at_thresholds(
    p: Predictions, temperature: Temperature, cost: Cost, named: Sequence[tuple[float, str]]
) -> tuple[AtThreshold, ...]:
    """The cascade at thresholds (each with a name, or ""), in ascending order."""
    scores = confidence(p.low, temperature.low)
    return tuple(at(p, cost, scores >= threshold, threshold, name) for threshold, name in sorted(named))


def at_rules(p: Predictions, card: Card, quality: int) -> tuple[AtThreshold, ...]:
    """The cascade at the card's operating points that decide by a rate-aware rule."""
    rows = []
    for point in card_points(card, quality):
        if point.rule is not None:
            early = early_answers(p, card.temperature, point.threshold, point.rule)
            row = at(p, card_cost(card), early, point.threshold, point.name)
            rows.append(replace(row, rule=True))
    return tuple(rows)


def calibrations(p: Predictions, temperature: Temperature) -> dict[str, Calibration]:
    """Reliability of both stages, before and after their temperatures."""

    def stage(logits: NDArray[np.float64], divisor: float) -> Calibration:
        right = top_hits(logits, p.targets, 1)
        before, after = (reliability(confidence(logits, t), right) for t in (1.0, divisor))
        return Calibration(divisor, before, after)

    return {"low": stage(p.low, temperature.low), "high": stage(p.high, temperature.high)}


def measure(p: Predictions, card: Card, quality: int, threshold: float, rule: Rule | None = None) -> Measured:
    """Everything about predictions made at one quality, with the card's temperatures."""
    temperature, cost = card.temperature, card_cost(card)
    early = early_answers(p, temperature, threshold, rule)
    found = modes_of(p, early)
    low_hits, high_hits = top_hits(p.low, p.targets, 5), top_hits(p.high, p.targets, 5)
    low_bytes, high_bytes = float(p.low_bytes.mean()), float(p.high_bytes.mean())
    cascade_top5 = float(np.where(early, low_hits, high_hits).mean())
    named, curve = points(card, quality, threshold), everywhere(confidence(p.low, temperature.low))
    return Measured(
        quality=quality,
        step=round(float(np.exp(np.log(card.profile.low_steps(quality)).mean()))),
        n=len(p.targets),
        threshold=threshold,
        rule=rule is not None,
        low=Mode(found.low, float(low_hits.mean()), low_bytes, cost.average(1)),
        both=Mode(found.both, float(high_hits.mean()), low_bytes + high_bytes, cost.macs),
        cascade=Mode(found.cascade, cascade_top5, found.mean_bytes, cost.average(found.exit_share)),
        exit_share=found.exit_share,
        thresholds=at_thresholds(p, temperature, cost, named) + at_rules(p, card, quality),
        curve=at_thresholds(p, temperature, cost, curve),
        calibration=calibrations(p, temperature),
    )


def points(card: Card, quality: int, threshold: float) -> list[tuple[float, str]]:
    """The grid, the card's thresholds for a quality, and the one asked for, each once with its names."""
    names: dict[float, list[str]] = {t: [] for t in GRID}
    for point in card_points(card, quality):
        if point.rule is None:
            names.setdefault(point.threshold, []).append(point.name)
    names.setdefault(threshold, ["asked"])
    return [(t, ", ".join(given)) for t, given in names.items()]


def card_points(card: Card, quality: int) -> list[OperatingPoint]:
    """The card's operating points as they are at a quality."""
    return [card.point(name, quality) for name in dict.fromkeys(p.name for p in card.operating_points)]


def everywhere(scores: NDArray[np.float64]) -> list[tuple[float, str]]:
    """Thresholds for a curve: evenly spaced, and so that evenly spaced shares are answered from low.

    The first alone would leap where most pictures are: just below a confidence of one.
    """
    even = np.linspace(0, 1, CURVE_POINTS // 2)
    ranked = np.quantile(scores, np.linspace(0, 1, CURVE_POINTS // 2))
    # Above one nothing is answered from low.
    return [(float(t), "") for t in np.unique([*even, *ranked, np.nextafter(1, 2)])]


def card_cost(card: Card) -> Cost:
    """What the card says the network costs."""
    return Cost(card.cost.parameters, card.cost.macs, card.cost.low_macs)
