"""Overtone against baselines: what each way of sending cost and gave, image by image, and the ratios."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from overtone.benchmarks.curve.delta_rate import CurveError, Point, compare

Floats = NDArray[np.float64]

# How bytes are counted. `payload`: what is sent, files and payloads whole. `bare`: Overtone's payloads whole, files
# without their containers. `wire`: in messages of Overtone's session, with TCP/IP, both ways. `post`: baselines by
# HTTP, Overtone in its session.
Measure = Literal["payload", "bare", "wire", "post"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
BEST = "the best of them"
RESAMPLES = 300


@dataclass(frozen=True)
class Entry:
    """One way of sending some images: correct answers bool[n], and bytes float64[n] by measure."""

    settings: Mapping[str, Any]
    correct: NDArray[np.bool_]
    counts: Mapping[Measure, Floats]

    def point(self, measure: Measure) -> Point:
        """Means over the images."""
        return Point(float(self.counts[measure].mean()), float(self.correct.mean()), self.settings)

    def document(self) -> dict[str, Any]:
        """Plain values for JSON: `bytes` is the payload."""
        means = {measure: self.point(measure).bytes for measure in MEASURES}
        return (
            {"bytes": means.pop("payload"), "top1": self.point("payload").top1} | means | dict(self.settings)
        )


def comparisons(
    ours: Sequence[Entry], baselines: Mapping[str, Sequence[Entry]], resamples: int = RESAMPLES
) -> list[dict[str, Any]]:
    """Overtone's bytes over every baseline's by every measure, with 95 % bootstrap intervals over images.

    Curves that reach no top-1 in common are left out.
    """
    found = (
        _compared(name, measure, ours, theirs, resamples)
        for name, theirs in baselines.items()
        for measure in MEASURES
    )
    return [each for each in found if each]


def _compared(
    name: str, measure: Measure, ours: Sequence[Entry], theirs: Sequence[Entry], resamples: int
) -> dict[str, Any] | None:
    try:
        found = compare(*([entry.point(measure) for entry in side] for side in (ours, theirs)))
    except CurveError:
        return None
    drawn = list(_resampled(measure, ours, theirs, resamples))
    if not drawn:
        return None
    lower, upper = map(float, np.quantile(drawn, (0.025, 0.975)))
    interval = {"ratio": found.ratio, "lower": lower, "upper": upper}
    return {
        "rival": name,
        "measure": measure,
        **interval,
        "from_top1": found.lowest,
        "to_top1": found.highest,
    }


def _resampled(
    measure: Measure, ours: Sequence[Entry], theirs: Sequence[Entry], resamples: int
) -> Iterator[float]:
    """Ratios on images drawn with replacement, the same ones for both sides."""
    n = len(ours[0].correct)
    weights = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=resamples) / n
    # (bytes, top-1) by side, entry and resample.
    sides = [[(weights @ e.counts[measure], weights @ e.correct) for e in side] for side in (ours, theirs)]
    for i in range(resamples):
        try:
            yield compare(*([Point(float(b[i]), float(t[i])) for b, t in side] for side in sides)).ratio
        except CurveError:
            continue
