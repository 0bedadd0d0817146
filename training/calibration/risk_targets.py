"""Risk targets, and the operating points that meet them, chosen on held-out images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from overtone.frequency import Profile
from overtone.models import OperatingPoint, Temperature
from overtone.models.operating_point import Method
from overtone.training.calibration.thresholds import (
    bytes_threshold,
    high_probability_threshold,
    risk_controlled_threshold,
    share_threshold,
)
from overtone.training.evaluation.predictions import Floats, Predictions, confidence

# Name -> alpha: the most top-1 (a fraction) that early answers may lose in expectation.
ALPHAS: Final = {"careful": 0.005, "balanced": 0.01, "thrifty": 0.02}
DEFAULT_POINT: Final = "balanced"
DELTA: Final = 0.05


class TargetError(ValueError):
    """A target that cannot be guaranteed; the message says what can."""


@dataclass(frozen=True)
class RiskTarget:
    """What an operating point guarantees: a bound on lost accuracy, on the share of requests, or on bytes.

    Attributes:
        name: of the operating point.
        alpha: the most top-1 that early answers may lose, 0 to 1.
        delta: the probability with which more may be lost; None bounds the expectation only.
        share: the share of images for which high may be requested, 0 to 1.
        mean_bytes: the mean payload bytes per image.
    """

    name: str
    alpha: float | None = None
    delta: float | None = None
    share: float | None = None
    mean_bytes: float | None = None

    def __post_init__(self) -> None:
        if self.delta is not None and self.alpha is None:
            raise TargetError("delta is the probability of losing more than alpha: give alpha too")
        if sum(x is not None for x in (self.alpha, self.share, self.mean_bytes)) != 1:
            raise TargetError("an operating point has one target: give one of alpha, share and mean bytes")
        for name in ("alpha", "delta"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise TargetError(f"{name} {value}: give a fraction between 0 and 1, such as 0.01")
        if self.share is not None and not 0 <= self.share <= 1:
            raise TargetError(f"share {self.share}: give a fraction from 0 to 1")

    @property
    def method(self) -> Method:
        """How the target is met."""
        if self.alpha is not None:
            return "risk control" if self.delta is None else "high probability"
        return "share" if self.share is not None else "bytes"

    @property
    def needs(self) -> int:
        """The number of images below which none could be answered early under this target."""
        if self.alpha is None:
            return 1
        # Rounded first, because 1 / 0.01 - 1 may be slightly above 99.
        least = 1 / self.alpha - 1 if self.delta is None else np.log(self.delta) / np.log1p(-self.alpha)
        return int(np.ceil(round(float(least), 9)))

    def threshold(self, scores: Floats, p: Predictions) -> float:
        """The threshold on confidences float64[n] that meets the target with the fewest bytes.

        For a target in bytes, it is the one that loses the least accuracy.
        """
        if self.alpha is not None and self.delta is not None:
            return high_probability_threshold(scores, p.lost, self.alpha, self.delta)
        if self.alpha is not None:
            return risk_controlled_threshold(scores, p.lost, self.alpha)
        if self.share is not None:
            return share_threshold(scores, self.share)
        assert self.mean_bytes is not None
        return bytes_threshold(scores, p.low_bytes, p.high_bytes, self.mean_bytes)


def target_from(
    name: str, alpha: float | None, delta: float | None, share: float | None, mean_bytes: float | None
) -> RiskTarget | None:
    """The target of these options, or None if none of them is given.

    Raises:
        TargetError: they do not make one target.
    """
    given = any(x is not None for x in (alpha, delta, share, mean_bytes))
    return RiskTarget(name, alpha, delta, share, mean_bytes) if given else None


@dataclass(frozen=True)
class Provenance:
    """The images that a certificate is about: encoded at `quality` of `profile`, from the split `data`."""

    profile: Profile
    quality: int
    data: str = ""


def standard_targets(n: int) -> tuple[RiskTarget, ...]:
    """The targets of `ALPHAS`, and with high probability those for which n images suffice."""
    in_expectation = [RiskTarget(name, alpha) for name, alpha in ALPHAS.items()]
    sure = [RiskTarget(f"{name}-{100 * (1 - DELTA):.0f}", alpha, DELTA) for name, alpha in ALPHAS.items()]
    return *in_expectation, *(target for target in sure if target.needs <= n)


def standard_points(
    p: Predictions, temperature: Temperature, source: Provenance | None = None
) -> tuple[OperatingPoint, ...]:
    """The operating points of the standard targets; see `certify`."""
    return tuple(certify(target, p, temperature, source) for target in standard_targets(len(p.targets)))


def certify(
    target: RiskTarget, p: Predictions, temperature: Temperature, source: Provenance | None = None
) -> OperatingPoint:
    """The operating point that meets a target; without `source` it is bound to no profile or quality."""
    scores = confidence(p.low, temperature.low)
    threshold = target.threshold(scores, p)
    early = scores >= threshold
    found = p.modes(early)
    return OperatingPoint(
        name=target.name,
        threshold=threshold,
        method=target.method,
        alpha=target.alpha,
        delta=target.delta,
        share=target.share,
        bytes=target.mean_bytes,
        n=len(p.targets),
        k=int((early & p.lost).sum()),
        exit_share=found.exit_share,
        mean_bytes=found.mean_bytes,
        quality=source.quality if source else None,
        profile=source.profile.id.hex() if source else None,
        data=source.data if source else "",
    )


def replaced(points: Sequence[OperatingPoint], fresh: Sequence[OperatingPoint]) -> tuple[OperatingPoint, ...]:
    """The fresh points, then those old ones that none of them replaces (by name and quality)."""
    taken = {(p.name, p.quality) for p in fresh}
    return *fresh, *(p for p in points if (p.name, p.quality) not in taken)
