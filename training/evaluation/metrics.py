"""The measures of a cascade at one quality, from its predictions: accuracy, bytes, cost, reliability."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overtone.models import Card, Cost
from overtone.training.evaluation.predictions import Predictions, confidence
from overtone.training.evaluation.reliability import Reliability, reliability
from overtone.training.evaluation.stopping import Bools, Floats, Ints, Rule, layers_taken

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
class AtLayer:
    """One layer: its band and factor, top-1 after it, its mean bytes, and the share of images it is the last one of."""

    band: str
    factor: int
    top1: float
    bytes: float
    share: float


@dataclass(frozen=True)
class AtThreshold:
    """The cascade at one rule: fractions, and means per image.

    `threshold` is that of the first layer. `low_answer_top1` is the accuracy of the answers that the first layer
    gives, None if there are none.
    """

    threshold: float
    rule: Rule
    operating_point: str | None
    exit_share: float
    top1: float
    low_answer_top1: float | None
    mean_payload_bytes: float
    mean_macs: float


@dataclass(frozen=True)
class Calibration:
    """The temperature of the answer after a layer, and its reliability without and with it."""

    temperature: float
    before: Reliability
    after: Reliability


@dataclass(frozen=True)
class QualityResult:
    """All measures at one quality.

    `low` is the first layer alone, `both` all layers; `cascade`, `exit_share` and the shares of `layers` are those
    at `rule`, whose first threshold is `threshold`.
    """

    quality: int
    step: int  # the geometric mean of its low channels' steps
    n: int
    threshold: float
    rule: Rule
    low: Mode
    both: Mode
    cascade: Mode
    exit_share: float
    layers: tuple[AtLayer, ...]
    # At the grid and the operating points, ascending.
    thresholds: tuple[AtThreshold, ...]
    # After each layer.
    calibration: tuple[Calibration, ...]


def top_hits(logits: Floats, targets: NDArray[np.int64], k: int) -> Bools:
    """Whether the target is among the k largest logits, bool[n]; of equal ones the first counts."""
    ranked = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    hits: Bools = (ranked == targets[:, None]).any(axis=1)
    return hits


def mean_macs(judged: Bools, low_layers: int, cost: Cost) -> float:
    """Mean multiply-adds per image, from the layers bool[layers, n] after which a network runs."""
    assert cost.low_macs is not None
    low, high = int(judged[:low_layers].sum()), int(judged[low_layers:].sum())
    return (low * cost.low_macs + high * (cost.macs - cost.low_macs)) / int(judged.shape[1])


def at_rules(
    p: Predictions, temperatures: tuple[float, ...], cost: Cost, named: Sequence[tuple[Rule, str]]
) -> tuple[AtThreshold, ...]:
    """The cascade at rules (each with a name, or ""), in ascending order of their thresholds."""
    rows = []
    for rule, name in sorted(named, key=lambda pair: pair[0].thresholds):
        judged = p.judged(temperatures, rule)
        layers = layers_taken(judged)
        found, early = p.summary(layers), layers == 1
        row = AtThreshold(
            threshold=rule.thresholds[0],
            rule=rule,
            operating_point=name or None,
            exit_share=found.exit_share,
            top1=found.cascade,
            low_answer_top1=float(p.correct[0][early].mean()) if early.any() else None,
            mean_payload_bytes=found.mean_bytes,
            mean_macs=mean_macs(judged, p.low_layers, cost),
        )
        rows.append(row)
    return tuple(rows)


def calibrations(p: Predictions, temperatures: tuple[float, ...]) -> tuple[Calibration, ...]:
    """Reliability after each layer, without and with its temperature."""

    def layer(logits: Floats, correct: Bools, divisor: float) -> Calibration:
        before, after = (reliability(confidence(logits, t), correct) for t in (1.0, divisor))
        return Calibration(divisor, before, after)

    return tuple(map(layer, p.logits, p.correct, temperatures))


def measure(p: Predictions, card: Card, quality: int, rule: Rule) -> QualityResult:
    """All measures of predictions at one quality, with the card's temperatures, under a stopping rule."""
    temperatures, cost = card.temperatures, card_cost(card)
    judged = p.judged(temperatures, rule)
    layers = layers_taken(judged)
    found = p.summary(layers)
    every = np.full(len(layers), p.layers)
    return QualityResult(
        quality=quality,
        step=round(float(np.exp(np.log(card.profile.low_steps(quality)).mean()))),
        n=len(p.targets),
        threshold=rule.thresholds[0],
        rule=rule,
        low=_mode(p, np.ones_like(every), cost.average(1)),
        both=_mode(p, every, cost.macs),
        cascade=_mode(p, layers, mean_macs(judged, p.low_layers, cost)),
        exit_share=found.exit_share,
        layers=tuple(
            AtLayer(*layer, top1, float(sizes.mean()), share)
            for layer, top1, sizes, share in zip(
                card.profile.ladder, found.top1, p.sizes, found.shares, strict=True
            )
        ),
        thresholds=at_rules(p, temperatures, cost, named_rules(card, quality, rule)),
        calibration=calibrations(p, temperatures),
    )


def _mode(p: Predictions, layers: Ints, macs: float) -> Mode:
    """The mode that takes these numbers of layers of the images, int64[n]."""
    hits = np.stack([top_hits(logits, p.targets, 5) for logits in p.logits])
    top5 = float(hits[layers - 1, np.arange(len(layers))].mean())
    return Mode(float(p.correct_after(layers).mean()), top5, float(p.bytes_after(layers).mean()), macs)


def named_rules(card: Card, quality: int, rule: Rule) -> list[tuple[Rule, str]]:
    """The grid, the card's rules for a quality, and the one in use, each once with its names."""
    layers = len(card.profile.ladder)
    names: dict[Rule, list[str]] = {Rule.uniform(t, layers): [] for t in GRID}
    for name in dict.fromkeys(p.name for p in card.operating_points):
        names.setdefault(Rule.of(card.point(name, quality)), []).append(name)
    names.setdefault(rule, ["asked"])
    return [(each, ", ".join(points)) for each, points in names.items()]


def card_cost(card: Card) -> Cost:
    """The cost of the network that a card records."""
    return Cost(card.cost.parameters, card.cost.macs, card.cost.low_macs)
