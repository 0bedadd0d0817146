"""Overtone against baselines: bytes and correct answers of each setting, image by image, and the ratios of bytes."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from overtone.benchmarks.curve.delta_rate import CurveError, Point, compare

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# How bytes are counted. `payload`: what is sent, files and payloads whole. `bare`: Overtone's payloads whole, files
# without their containers. `wire`: in messages of Overtone's session, with TCP/IP, both ways. `post`: baselines by
# HTTP, Overtone in its session.
Measure = Literal["payload", "bare", "wire", "post"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
BEST = "the best of them"
RESAMPLES = 300


@dataclass(frozen=True)
class SentImages(ABC):
    """One setting on n images: what the setting is, and bytes float64[n] by measure.

    Attributes:
        name: the accuracy's key in JSON.
    """

    settings: Mapping[str, Any]
    counts: Mapping[Measure, Floats]
    name: ClassVar[str]

    @property
    @abstractmethod
    def accuracy(self) -> float:
        """The accuracy on the images, a fraction."""

    @abstractmethod
    def resampled(self, times: Ints) -> Floats:
        """The accuracy float64[m] on m samples, in which the images occur so many times, int64[m, n]."""

    @property
    def n(self) -> int:
        """The number of images."""
        return len(self.counts["payload"])

    def point(self, measure: Measure) -> Point:
        """Mean bytes by one measure, and accuracy, over the images."""
        return Point(float(self.counts[measure].mean()), self.accuracy, self.settings)

    def document(self) -> dict[str, Any]:
        """Plain values for JSON: `bytes` is the payload."""
        means = {measure: float(self.counts[measure].mean()) for measure in MEASURES}
        return {"bytes": means.pop("payload"), self.name: self.accuracy} | means | dict(self.settings)


@dataclass(frozen=True)
class Entry(SentImages):
    """One setting on images that are classified: correct answers bool[n]."""

    correct: NDArray[np.bool_]
    name: ClassVar[str] = "top1"

    @property
    def accuracy(self) -> float:
        """Top-1."""
        return float(self.correct.mean())

    def resampled(self, times: Ints) -> Floats:
        """Top-1 on samples."""
        found: Floats = times @ self.correct / self.n
        return found


def comparisons(
    ours: Sequence[SentImages], baselines: Mapping[str, Sequence[SentImages]], resamples: int = RESAMPLES
) -> list[dict[str, Any]]:
    """Overtone's bytes over every baseline's by every measure, with 95 % bootstrap intervals over images.

    Curves that reach no accuracy in common are left out.
    """
    if not ours:
        return []
    drawn = Drawn(draw(ours[0].n, resamples))
    found = (
        _compared(name, measure, ours, theirs, drawn)
        for name, theirs in baselines.items()
        for measure in MEASURES
    )
    return [each for each in found if each]


def draw(n: int, resamples: int) -> Ints:
    """Bootstrap samples: how often each of n images is drawn, with replacement, int64[resamples, n]."""
    return np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=resamples)


class Drawn:
    """Bootstrap samples of images, shared by all settings, each of which is evaluated on them once."""

    def __init__(self, times: Ints) -> None:
        self.times = times
        self._accuracies: dict[int, Floats] = {}

    def points(self, entry: SentImages, measure: Measure) -> list[Point]:
        """The point of each sample."""
        if id(entry) not in self._accuracies:
            self._accuracies[id(entry)] = entry.resampled(self.times)
        sizes = self.times @ entry.counts[measure] / entry.n
        return [
            Point(*pair) for pair in zip(sizes.tolist(), self._accuracies[id(entry)].tolist(), strict=True)
        ]


def _compared(
    name: str, measure: Measure, ours: Sequence[SentImages], theirs: Sequence[SentImages], drawn: Drawn
) -> dict[str, Any] | None:
    try:
        found = compare(*([entry.point(measure) for entry in side] for side in (ours, theirs)))
    except CurveError:
        return None
    ratios = list(_resampled(measure, ours, theirs, drawn))
    if not ratios:
        return None
    lower, upper = map(float, np.quantile(ratios, (0.025, 0.975)))
    return {
        "rival": name,
        "measure": measure,
        "ratio": found.ratio,
        "lower": lower,
        "upper": upper,
        f"from_{ours[0].name}": found.lowest,
        f"to_{ours[0].name}": found.highest,
    }


def _resampled(
    measure: Measure, ours: Sequence[SentImages], theirs: Sequence[SentImages], drawn: Drawn
) -> Iterator[float]:
    """The ratios on all samples, which are the same ones for both sides."""
    # Points by side, entry and sample.
    sides = [[drawn.points(entry, measure) for entry in side] for side in (ours, theirs)]
    for i in range(len(drawn.times)):
        try:
            yield compare(*([points[i] for points in side] for side in sides)).ratio
        except CurveError:
            continue
