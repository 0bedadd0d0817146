"""Risk targets, and the operating points that meet them, chosen on held-out images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from overtone.frequency import Profile
from overtone.models import OperatingPoint
from overtone.models.common_card import Point
from overtone.models.operating_point import Method
from overtone.training.calibration.price_path import PricePath, fit_path
from overtone.training.calibration.thresholds import (
    bytes_threshold,
    first_index_within,
    high_probability_index,
    high_probability_threshold,
    risk_controlled_index,
    risk_controlled_threshold,
    share_threshold,
)
from overtone.training.evaluation.predictions import Predictions
from overtone.training.evaluation.stopping import Floats, Ints, Rule, layers_taken

# Name -> alpha: the most top-1 (a fraction) that early answers may lose in expectation.
ALPHAS: Final = {"careful": 0.005, "balanced": 0.01, "thrifty": 0.02}
DEFAULT_POINT: Final = "balanced"
DELTA: Final = 0.05
# With three layers or more, every third image chooses the path of rules; the others certify.
CHOOSING: Final = 3


class TargetError(ValueError):
    """A target that cannot be guaranteed; the message says what can."""


@dataclass(frozen=True)
class RiskTarget:
    """What an operating point guarantees: a bound on lost accuracy, on the share of requests, or on bytes.

    Attributes:
        name: of the operating point.
        alpha: the most top-1 that early answers may lose, 0 to 1.
        delta: the probability with which more may be lost; None bounds the expectation only.
        share: the share of images for which more than the first layer may be requested, 0 to 1.
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
        """Of two layers, the threshold on confidences float64[n] that meets the target with the fewest bytes.

        For a target in bytes, it is the one that loses the least accuracy.
        """
        if self.alpha is not None:
            lost = p.lost(np.ones(len(p.targets), np.int64))
            if self.delta is None:
                return risk_controlled_threshold(scores, lost, self.alpha)
            return high_probability_threshold(scores, lost, self.alpha, self.delta)
        if self.share is not None:
            return share_threshold(scores, self.share)
        assert self.mean_bytes is not None
        return bytes_threshold(scores, p.sizes[0], p.sizes[1], self.mean_bytes)

    def rule_index(self, layers: Ints, p: Predictions) -> int:
        """The index of the rule of a path that meets the target with the fewest bytes.

        Args:
            layers: number of layers that each of m rules takes of each image, int64[m, n].
            p: predictions of the n images.

        Raises:
            TargetError: even the first layer alone takes more bytes.
        """
        if self.alpha is not None:
            lost = p.lost(layers)
            if self.delta is None:
                return risk_controlled_index(lost, self.alpha)
            return high_probability_index(lost, self.alpha, self.delta)
        if self.share is not None:
            index = first_index_within(layers > 1, 1, self.share)
            # The last rule requests nothing of any image, so it needs no images to be sure of.
            return len(layers) - 1 if index is None else index
        assert self.mean_bytes is not None
        sent, largest = p.bytes_after(layers), float(p.sizes.sum(axis=0).max())
        index = first_index_within(sent, largest, self.mean_bytes)
        if index is None:
            least = (float(sent[-1].sum()) + largest) / (sent.shape[1] + 1)
            raise TargetError(f"low alone takes {least:.0f} bytes per image: allow at least that many")
        return index


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


def standard_targets(n: int, alphas: Mapping[str, float] = ALPHAS) -> tuple[RiskTarget, ...]:
    """The targets of `alphas`, and with high probability those for which n images suffice."""
    in_expectation = [RiskTarget(name, alpha) for name, alpha in alphas.items()]
    sure = [RiskTarget(f"{name}-{100 * (1 - DELTA):.0f}", alpha, DELTA) for name, alpha in alphas.items()]
    return *in_expectation, *(target for target in sure if target.needs <= n)


def certifying(layers: int, images: int) -> int:
    """The number of `images` that certify the points of a ladder of `layers` layers; the others choose its path."""
    return images if layers == 2 else images - len(range(0, images, CHOOSING))


@dataclass(frozen=True)
class Certifier:
    """Chooses rules that meet targets.

    Two layers have one threshold, and all thresholds are candidates. For more layers a third of the images chooses
    a path of rules, and the others certify: a guarantee needs candidates that do not depend on its images (split
    fixed-sequence testing, Angelopoulos et al. 2021).

    Attributes:
        p: predictions of the images that certify.
        temperatures: one for the answer after each layer.
        path: the candidates; None stands for all thresholds of two layers.
    """

    p: Predictions
    temperatures: tuple[float, ...]
    path: PricePath | None = None

    @classmethod
    def of(cls, p: Predictions, temperatures: tuple[float, ...]) -> "Certifier":
        """A certifier that uses all images of the predictions."""
        if p.layers == 2:
            return cls(p, temperatures)
        choosing = np.arange(len(p.targets)) % CHOOSING == 0
        return cls(p.take(~choosing), temperatures, fit_path(p.take(choosing), temperatures))

    @cached_property
    def _scores(self) -> Floats:
        return self.p.confidences(self.temperatures)

    @cached_property
    def _layers(self) -> Ints:
        assert self.path is not None
        return layers_taken(self.path.judged(self.p, self.temperatures))

    def rule(self, target: RiskTarget) -> Rule:
        """The rule that meets a target."""
        if self.path is None:
            return Rule((target.threshold(self._scores[0], self.p),))
        return self.path.rule(target.rule_index(self._layers, self.p))

    def certify(self, target: RiskTarget, source: Provenance | None = None) -> OperatingPoint:
        """The operating point that meets a target; without `source` it is bound to no profile or quality."""
        rule = self.rule(target)
        layers = self.p.layers_taken(self.temperatures, rule)
        found = self.p.summary(layers)
        return OperatingPoint(
            name=target.name,
            thresholds=rule.thresholds,
            all_below=rule.all_below,
            method=target.method,
            alpha=target.alpha,
            delta=target.delta,
            share=target.share,
            bytes=target.mean_bytes,
            n=len(self.p.targets),
            k=int(self.p.lost(layers).sum()),
            exit_share=found.exit_share,
            mean_bytes=found.mean_bytes,
            quality=source.quality if source else None,
            profile=source.profile.id.hex() if source else None,
            data=source.data if source else "",
        )


def standard_points(
    p: Predictions, temperatures: tuple[float, ...], source: Provenance | None = None
) -> tuple[OperatingPoint, ...]:
    """The operating points of the standard targets; see `Certifier.certify`."""
    certifier = Certifier.of(p, temperatures)
    targets = standard_targets(len(certifier.p.targets))
    return tuple(certifier.certify(target, source) for target in targets)


def certify(
    target: RiskTarget, p: Predictions, temperatures: tuple[float, ...], source: Provenance | None = None
) -> OperatingPoint:
    """The operating point that meets one target; see `Certifier.certify`."""
    return Certifier.of(p, temperatures).certify(target, source)


def replaced(points: Sequence[Point], fresh: Sequence[Point]) -> tuple[Point, ...]:
    """The fresh points, then those old ones that none of them replaces (by name and quality)."""
    taken = {(p.name, p.quality) for p in fresh}
    return *fresh, *(p for p in points if (p.name, p.quality) not in taken)
