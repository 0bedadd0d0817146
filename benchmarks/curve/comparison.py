"""Overtone against baselines: what each way of sending cost and gave, image by image, and the ratios."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from overtone.benchmarks.curve.delta_rate import CurveError, Point, Ratio, compare

Floats = NDArray[np.float64]

# How bytes are counted. `payload`: what is sent, files and payloads whole. `wire`: in messages of Overtone's
# session, with TCP/IP, both ways. `post`: baselines by HTTP, Overtone in its session. `bare`: baselines without
# what is the same for all images (see `benchmarks.curve.containers`), Overtone whole.
Measure = Literal["payload", "wire", "post", "bare"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
Counts = Mapping[Measure, Floats]
BEST = "the best of them"
RESAMPLES = 300


@dataclass(frozen=True)
class Entry:
    """One way of sending some images: correct answers bool[n], and bytes float64[n] by measure."""

    settings: Mapping[str, Any]
    correct: NDArray[np.bool_]
    counts: Counts

    def point(self, measure: Measure) -> Point:
        """Means over the images."""
        return Point(float(self.counts[measure].mean()), float(self.correct.mean()), self.settings)

    def document(self) -> dict[str, Any]:
        """Plain values for JSON: `bytes` is the payload."""
        means = {measure: float(self.counts[measure].mean()) for measure in MEASURES if measure != "payload"}
        payload = self.point("payload")
        return {"bytes": payload.bytes, "top1": payload.top1} | means | dict(self.settings)


@dataclass(frozen=True)
class Comparison:
    """Overtone's bytes over a baseline's, with the 95 % bootstrap interval over images."""

    baseline: str
    measure: Measure
    found: Ratio
    lower: float
    upper: float

    def document(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "rival": self.baseline,
            "measure": self.measure,
            "ratio": self.found.ratio,
            "lower": self.lower,
            "upper": self.upper,
            "from_top1": self.found.lowest,
            "to_top1": self.found.highest,
        }


def comparisons(
    ours: Sequence[Entry], baselines: Mapping[str, Sequence[Entry]], resamples: int = RESAMPLES
) -> list[Comparison]:
    """Every baseline by every measure, except where the curves reach no top-1 in common."""
    found = (
        _compared(name, measure, ours, theirs, resamples)
        for name, theirs in baselines.items()
        for measure in MEASURES
    )
    return [each for each in found if each]


def _compared(
    name: str, measure: Measure, ours: Sequence[Entry], theirs: Sequence[Entry], resamples: int
) -> Comparison | None:
    try:
        found = compare(*([entry.point(measure) for entry in side] for side in (ours, theirs)))
    except CurveError:
        return None
    drawn = list(_resampled(measure, ours, theirs, resamples))
    if not drawn:
        return None
    lower, upper = np.quantile(drawn, (0.025, 0.975))
    return Comparison(name, measure, found, float(lower), float(upper))


def _resampled(
    measure: Measure, ours: Sequence[Entry], theirs: Sequence[Entry], resamples: int
) -> Iterator[float]:
    """Ratios on images drawn with replacement, the same ones for both sides."""
    n = len(ours[0].correct)
    weights = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=resamples) / n
    sides = [_means(weights, side, measure) for side in (ours, theirs)]
    for i in range(resamples):
        try:
            yield compare(*([Point(*row[i]) for row in side] for side in sides)).ratio
        except CurveError:
            continue


def _means(weights: Floats, entries: Sequence[Entry], measure: Measure) -> list[list[tuple[float, float]]]:
    """(bytes, top-1) by entry and resample."""
    return [
        list(zip((weights @ e.counts[measure]).tolist(), (weights @ e.correct).tolist(), strict=True))
        for e in entries
    ]
