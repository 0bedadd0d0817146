"""Operating points of detectors: which boxes are in doubt, chosen and certified on held-out pictures.

A third of the pictures chooses a path of candidates, from one that asks for all blocks of every picture to one that
asks for none; the others certify, as for classifiers with three layers (`calibration.risk_targets`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from overtone.frequency import Profile
from overtone.models.detection.detector import Detector
from overtone.models.detection.operating_point import NEVER, DetectionPoint
from overtone.training.calibration.risk_targets import (
    CHOOSING,
    RiskTarget,
    TargetError,
    standard_targets,
)
from overtone.training.calibration.thresholds import (
    bounded_loss_index,
    first_index_within,
    risk_controlled_index,
)
from overtone.training.detection.pictures import Pictures
from overtone.training.detection.predictions import CodedBatch, coded_batches
from overtone.training.detection.region_answers import PointResults, RegionCascade, measure_points

# Name -> alpha: the largest expected share of the full answer's things that the cascade's answers may miss.
ALPHAS: Final = {"careful": 0.02, "balanced": 0.05, "thrifty": 0.1}
# Candidates for the scores between which a box is in doubt.
UNSURE: Final = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4)
SURE: Final = (NEVER, 0.9, 0.8, 0.6)
MARGINS: Final = (1,)
# The score from which a box is a thing.
SHOWN: Final = 0.5
WHOLE: Final = DetectionPoint(name="whole", unsure=0, whole=True)
LOW_ALONE: Final = DetectionPoint(name="low", unsure=NEVER)


def candidates() -> tuple[DetectionPoint, ...]:
    """Points that ask for blocks of boxes in doubt."""
    return tuple(
        DetectionPoint(name="candidate", unsure=unsure, sure=sure, margin=margin)
        for margin in MARGINS
        for unsure in UNSURE
        for sure in SURE
        if unsure < sure
    )


def fit_path(points: Sequence[DetectionPoint], found: PointResults) -> tuple[DetectionPoint, ...]:
    """A path of points from all blocks to low alone: those that no other point beats in both bytes and misses.

    With a point among them that asks for all blocks, points that take more bytes than it are left out. Where objects
    are everywhere, layers of some blocks may take more bytes than those of all.
    """
    sent, lost = found.sent.mean(axis=1), found.missed.mean(axis=1)
    kept = list[int]()
    for index in np.lexsort((lost, sent)).tolist():
        if not kept or lost[index] < lost[kept[-1]]:
            kept.append(index)
    return (WHOLE, *(points[index] for index in reversed(kept) if not points[index].whole), LOW_ALONE)


@dataclass(frozen=True)
class PointCertifier:
    """Chooses points of a path that meet targets, on pictures that did not choose the path.

    Attributes:
        points: the points of the path.
        found: their results on the pictures that certify.
        largest: payload bytes of the largest picture.
    """

    points: tuple[DetectionPoint, ...]
    found: PointResults
    largest: float

    @classmethod
    def of(cls, cascade: RegionCascade, batches: Sequence[CodedBatch], shown: float) -> "PointCertifier":
        """A certifier that uses all pictures of some batches; things are boxes with at least the score `shown`."""
        choosing, certifying = _split(batches)
        tried = [_with_shown(point, shown) for point in (WHOLE, *candidates())]
        chosen = fit_path(tried, measure_points(cascade, choosing, tried)) if choosing else (WHOLE, LOW_ALONE)
        points = tuple(_with_shown(point, shown) for point in chosen)
        largest = max((float(batch.sizes.sum(1).max()) for batch in batches), default=0.0)
        return cls(points, measure_points(cascade, certifying, points), largest)

    @property
    def n(self) -> int:
        """The number of pictures that certify."""
        return len(self.found.missed[0])

    def point_index(self, target: RiskTarget) -> int:
        """The index on the path of the point that meets a target with the fewest bytes.

        Raises:
            TargetError: even low alone takes more bytes.
        """
        if target.alpha is not None and target.delta is not None:
            return bounded_loss_index(self.found.missed, target.alpha, target.delta)
        if target.alpha is not None:
            return risk_controlled_index(self.found.missed, target.alpha)
        if target.share is not None:
            asked: NDArray[np.bool_] = self.found.shares > 0
            index = first_index_within(asked, 1, target.share)
            return len(self.points) - 1 if index is None else index
        assert target.mean_bytes is not None
        index = first_index_within(self.found.sent, self.largest, target.mean_bytes)
        if index is None:
            least = (float(self.found.sent[-1].sum()) + self.largest) / (self.n + 1)
            raise TargetError(f"low alone takes {least:.0f} bytes per picture: allow at least that many")
        return index

    def certify(self, target: RiskTarget, profile: Profile, quality: int, data: str) -> DetectionPoint:
        """The point that meets a target, with its certificate."""
        index = self.point_index(target)
        missed, sent, shares = (
            values[index] for values in (self.found.missed, self.found.sent, self.found.shares)
        )
        return self.points[index].model_copy(
            update={
                "name": target.name,
                "method": target.method,
                "alpha": target.alpha,
                "delta": target.delta,
                "share": target.share,
                "bytes": target.mean_bytes,
                "n": self.n,
                "quality": quality,
                "profile": profile.id.hex(),
                "data": data,
                "missed": _mean(missed),
                "mean_bytes": _mean(sent),
                "escalation_share": _mean(shares > 0),
                "block_share": _mean(shares),
            }
        )


def choose_points(
    detector: Detector,
    pictures: Pictures,
    profile: Profile,
    quality: int,
    data: str,
    target: RiskTarget | None = None,
    *,
    shown: float = SHOWN,
    workers: int = 0,
) -> tuple[DetectionPoint, ...]:
    """The point of a target, or the standard points, at one quality.

    Raises:
        TargetError: a target that cannot be guaranteed.
    """
    batches = list(coded_batches(detector, pictures, profile, quality, workers)) if len(pictures) else []
    certifier = PointCertifier.of(RegionCascade(detector, profile, quality), batches, shown)
    targets = (target,) if target else standard_targets(certifier.n, ALPHAS)
    return tuple(certifier.certify(each, profile, quality, data) for each in targets)


def _with_shown(point: DetectionPoint, score: float) -> DetectionPoint:
    return point.model_copy(update={"shown": score})


def _split(batches: Sequence[CodedBatch]) -> tuple[list[CodedBatch], list[CodedBatch]]:
    """Every third picture, which chooses the path, and the others, which certify."""
    choosing, certifying = list[CodedBatch](), list[CodedBatch]()
    start = 0
    for batch in batches:
        indices = range(len(batch.values))
        for part, is_choosing in ((choosing, True), (certifying, False)):
            chosen = [i for i in indices if ((start + i) % CHOOSING == 0) == is_choosing]
            if chosen:
                part.append(batch.take(chosen))
        start += len(indices)
    return choosing, certifying


def _mean(values: NDArray[Any]) -> float | None:
    return float(values.mean()) if values.size else None
