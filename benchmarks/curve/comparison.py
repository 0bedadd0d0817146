"""Ours against rivals: what each way of sending cost and gave, picture by picture, and the ratios of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from overtone.benchmarks.curve.delta_rate import CurveError, Point, Ratio, compare

Floats = NDArray[np.float64]

# How bytes are counted. `payload`: what is sent, files and payloads whole. `wire`: in messages of our
# session, with TCP/IP, both ways. `post`: rivals by HTTP, ours in our session. `bare`: rivals without what is
# the same for all pictures (see `benchmarks.curve.containers`), ours whole.
Measure = Literal["payload", "wire", "post", "bare"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
Counts = Mapping[Measure, Floats]
BEST = "the best of them"
RESAMPLES = 300


@dataclass(frozen=True)
class Entry:
    """One way of sending some pictures: whose it is, right answers bool[n], bytes float64[n] by measure."""

    name: str
    settings: Mapping[str, Any]
    right: NDArray[np.bool_]
    counts: Counts

    def point(self, measure: Measure) -> Point:
        """Means over the pictures."""
        return Point(float(self.counts[measure].mean()), float(self.right.mean()), self.settings)

    def document(self) -> dict[str, Any]:
        """Plain values for JSON: `bytes` is the payload."""
        means = {measure: float(self.counts[measure].mean()) for measure in MEASURES if measure != "payload"}
        head = {"bytes": self.point("payload").bytes, "top1": self.point("payload").top1}
        return head | means | dict(self.settings)


@dataclass(frozen=True)
class Verdict:
    """Our bytes over a rival's, with its 95 % bootstrap interval over pictures."""

    rival: str
    measure: Measure
    found: Ratio
    lower: float
    upper: float

    def document(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "rival": self.rival,
            "measure": self.measure,
            "ratio": self.found.ratio,
            "lower": self.lower,
            "upper": self.upper,
            "from_top1": self.found.lowest,
            "to_top1": self.found.highest,
        }


def verdicts(
    ours: Sequence[Entry], rivals: Mapping[str, Sequence[Entry]], resamples: int = RESAMPLES
) -> list[Verdict]:
    """Every rival by every measure.

    Where curves have no range in common, or none in any resample, there is no verdict.
    """
    found = (
        _verdict(name, measure, ours, theirs, resamples)
        for name, theirs in rivals.items()
        for measure in MEASURES
    )
    return [verdict for verdict in found if verdict]


def _verdict(
    name: str, measure: Measure, ours: Sequence[Entry], theirs: Sequence[Entry], resamples: int
) -> Verdict | None:
    try:
        found = compare(*([entry.point(measure) for entry in side] for side in (ours, theirs)))
    except CurveError:
        return None
    drawn = list(_resampled(measure, ours, theirs, resamples))
    if not drawn:
        return None
    lower, upper = np.quantile(drawn, (0.025, 0.975))
    return Verdict(name, measure, found, float(lower), float(upper))


def _resampled(
    measure: Measure, ours: Sequence[Entry], theirs: Sequence[Entry], resamples: int
) -> Iterator[float]:
    """Ratios on pictures drawn with replacement, the same ones for both sides."""
    n = len(ours[0].right)
    weights = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=resamples) / n
    sides = [(_means(weights, side, measure), side) for side in (ours, theirs)]
    for i in range(resamples):
        try:
            yield compare(*([Point(*row[i]) for row in rows] for rows, _ in sides)).ratio
        except CurveError:
            continue


def _means(weights: Floats, entries: Sequence[Entry], measure: Measure) -> list[list[tuple[float, float]]]:
    """By entry and resample (bytes, top-1)."""
    return [
        list(zip((weights @ e.counts[measure]).tolist(), (weights @ e.right).tolist(), strict=True))
        for e in entries
    ]
