"""Overtone's side: a detector's checkpoint after its layers, and with regions, at every quality."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from overtone.frequency import Profile
from overtone.models.detection.detections import Detections
from overtone.models.detection.detector import Detector
from overtone.models.detection.operating_point import NEVER, DetectionPoint
from overtone.training.detection.average_precision import measure
from overtone.training.detection.pictures import Pictures
from overtone.training.detection.predictions import coded, in_pictures
from overtone.training.detection.region_answers import RegionCascade

# Scores of boxes in doubt that are tried.
DOUBTS = ((0.05, NEVER), (0.1, NEVER), (0.1, 0.8), (0.2, NEVER), (0.2, 0.8), (0.3, 0.6))


@dataclass(frozen=True)
class Way:
    """One way of sending: so many layers of all blocks, or after the first one all layers of blocks in doubt."""

    quality: int
    layers: int
    rule: DetectionPoint | None = None

    @property
    def document(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found: dict[str, Any] = {"quality": self.quality, "layers": self.layers}
        if self.rule is None:
            return found
        return found | {"unsure": self.rule.unsure, "sure": self.rule.sure, "margin": self.rule.margin}


@dataclass(frozen=True)
class Scored:
    """Mean payload bytes per picture, AP50, and the mean share of blocks that were asked for."""

    sent: float
    ap50: float
    blocks: float


def ways(profile: Profile) -> list[Way]:
    """Everything that is tried."""
    layers = range(1, len(profile.ladder) + 1)
    rules = [DetectionPoint(name="tried", unsure=unsure, sure=sure) for unsure, sure in DOUBTS]
    return [
        way
        for quality in profile.qualities
        for way in (
            *(Way(quality, number) for number in layers),
            *(Way(quality, len(profile.ladder), rule) for rule in rules),
        )
    ]


def score(
    detector: Detector, profile: Profile, pictures: Pictures, tried: Sequence[Way], workers: int
) -> dict[Way, Scored]:
    """The scores of ways on some pictures; those of one quality share what they can."""
    found: dict[Way, Scored] = {}
    for quality in dict.fromkeys(way.quality for way in tried):
        own = [way for way in tried if way.quality == quality]
        found |= _at_quality(RegionCascade(detector, profile, quality), pictures, own, workers)
    return found


def _at_quality(
    cascade: RegionCascade, pictures: Pictures, tried: Sequence[Way], workers: int
) -> dict[Way, Scored]:
    answers: dict[Way, list[tuple[Detections, int, float]]] = {way: [] for way in tried}
    rules = [way.rule for way in tried if way.rule is not None]
    for batch in coded(cascade.detector, pictures, cascade.profile, cascade.quality, workers):
        regions = iter(zip(*cascade.answers(batch, rules), strict=True))
        sent = batch.sizes.cumsum(1)
        for way, answer in answers.items():
            if way.rule is not None:
                answer += [(each.found, each.sent, each.share) for each in next(regions)]
                continue
            share = float(way.layers > 1)
            number = way.layers - 1
            answer += [(d, int(n), share) for d, n in zip(batch.found[number], sent[:, number], strict=True)]
    return {way: _scored(answer, pictures, cascade.profile.size) for way, answer in answers.items()}


def _scored(answers: Sequence[tuple[Detections, int, float]], pictures: Pictures, size: int) -> Scored:
    found, sent, shares = zip(*answers, strict=True)
    ap50 = measure(pictures, in_pictures(list(found), pictures, size)).ap50
    return Scored(float(np.mean(sent)), ap50, float(np.mean(shares)))
