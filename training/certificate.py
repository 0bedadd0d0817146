"""From a wish to an operating point with its certificate, chosen on held-out pictures."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from overtone.frequency import Profile
from overtone.models import OperatingPoint, Rule, Temperature
from overtone.models.operating_point import Method
from overtone.training.modes import confidence, lost, modes_of, right
from overtone.training.predict import Predictions
from overtone.training.threshold import (
    NEVER,
    bytes_threshold,
    high_probability_threshold,
    risk_controlled_threshold,
    share_threshold,
)

# Name -> alpha: the most top-1 (a fraction) that answering early may cost in expectation.
ALPHAS: Final = {"careful": 0.005, "balanced": 0.01, "thrifty": 0.02}
DEFAULT_POINT: Final = "balanced"
DELTA: Final = 0.05


class WishError(ValueError):
    """A promise that cannot be asked for; the message says what can."""


@dataclass(frozen=True)
class Wish:
    """One promise: accuracy lost (`alpha`, with `delta` in high probability), a share, or bytes.

    Attributes:
        name: of the operating point.
        alpha: the most top-1 to be lost, 0 to 1.
        delta: how often more may be lost; None promises the expectation only.
        share: of the pictures whose high may be asked for, 0 to 1.
        mean_bytes: payload bytes a picture may take.
    """

    name: str
    alpha: float | None = None
    delta: float | None = None
    share: float | None = None
    mean_bytes: float | None = None

    def __post_init__(self) -> None:
        if self.delta is not None and self.alpha is None:
            raise WishError("delta says how often more than alpha may be lost: give alpha too")
        if sum(x is not None for x in (self.alpha, self.share, self.mean_bytes)) != 1:
            raise WishError("an operating point makes one promise: give one of alpha, share and mean bytes")
        for name in ("alpha", "delta"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise WishError(f"{name} {value}: give a fraction between 0 and 1, such as 0.01")
        if self.share is not None and not 0 <= self.share <= 1:
            raise WishError(f"share {self.share}: give a fraction from 0 to 1")

    @property
    def method(self) -> Method:
        """How the promise is kept."""
        if self.alpha is not None:
            return "risk control" if self.delta is None else "high probability"
        return "share" if self.share is not None else "bytes"

    @property
    def needs(self) -> int:
        """The fewest pictures with which any of them can be answered early under this promise."""
        if self.alpha is None:
            return 1
        # Rounded first: 1 / 0.01 - 1 may come out a hair above 99.
        least = 1 / self.alpha - 1 if self.delta is None else np.log(self.delta) / np.log1p(-self.alpha)
        return int(np.ceil(round(float(least), 9)))


def wished(
    name: str, alpha: float | None, delta: float | None, share: float | None, mean_bytes: float | None
) -> Wish | None:
    """A wish, or None where nothing is wished for.

    Raises:
        WishError: as `Wish`.
    """
    if all(x is None for x in (alpha, delta, share, mean_bytes)):
        return None
    return Wish(name, alpha, delta, share, mean_bytes)


@dataclass(frozen=True)
class Held:
    """Which pictures a certificate is about: encoded at `quality` of `profile`, and what they are."""

    profile: Profile
    quality: int
    data: str = ""


def standard_wishes(n: int) -> tuple[Wish, ...]:
    """The points of `ALPHAS`, and those in high probability for which n pictures are enough."""
    in_expectation = [Wish(name, alpha) for name, alpha in ALPHAS.items()]
    sure = [Wish(f"{name}-{100 * (1 - DELTA):.0f}", alpha, DELTA) for name, alpha in ALPHAS.items()]
    return *in_expectation, *(wish for wish in sure if wish.needs <= n)


def certify(wish: Wish, p: Predictions, temperature: Temperature, held: Held | None = None) -> OperatingPoint:
    """The operating point that keeps a wish for the fewest bytes (for bytes: loses least)."""
    scores = confidence(p.low, temperature.low)
    threshold = threshold_for(wish, scores, p)
    return _point(wish, threshold, scores >= threshold, p, held)


def check_rule(wish: Wish) -> None:
    """Find now that a rate-aware rule cannot keep a wish.

    Raises:
        WishError: the promise is of a kind made for thresholds only.
    """
    if wish.delta is not None:
        raise WishError("a rate-aware rule promises in expectation only: leave delta out")


def certify_rule(
    wish: Wish, rule: Rule, p: Predictions, temperature: Temperature, held: Held | None = None
) -> OperatingPoint:
    """As `certify`, for a rate-aware rule, whose price is chosen; it was fitted on other pictures than `p`.

    Raises:
        WishError: as `check_rule`.
    """
    check_rule(wish)
    probabilities = softmax(p.low / temperature.low, axis=1)
    worth = rule.worth(probabilities, p.high_bytes)
    price = -threshold_for(wish, -worth, p, never=float(np.inf))
    # No worth is below -1, and JSON knows no infinity.
    rule = rule.model_copy(update={"price": max(price, -2.0)})
    fallback = threshold_for(wish, confidence(p.low, temperature.low), p)
    early = ~rule.escalates(probabilities, p.high_bytes)
    return _point(wish, fallback, early, p, held).model_copy(update={"rule": rule})


def threshold_for(wish: Wish, scores: NDArray[np.float64], p: Predictions, never: float = NEVER) -> float:
    """The threshold on scores float64[n], the larger the surer, by which a wish is kept."""
    if wish.alpha is not None and wish.delta is not None:
        return high_probability_threshold(scores, lost(p), wish.alpha, wish.delta)
    if wish.alpha is not None:
        return risk_controlled_threshold(scores, *right(p), wish.alpha, never)
    if wish.share is not None:
        return share_threshold(scores, wish.share, never)
    assert wish.mean_bytes is not None
    return bytes_threshold(scores, p.low_bytes, p.high_bytes, wish.mean_bytes, never)


def _point(
    wish: Wish, threshold: float, early: NDArray[np.bool_], p: Predictions, held: Held | None
) -> OperatingPoint:
    found = modes_of(p, early)
    return OperatingPoint(
        name=wish.name,
        threshold=threshold,
        method=wish.method,
        alpha=wish.alpha,
        delta=wish.delta,
        share=wish.share,
        bytes=wish.mean_bytes,
        n=len(p.targets),
        k=int((early & lost(p)).sum()),
        exit_share=found.exit_share,
        mean_bytes=found.mean_bytes,
        quality=held.quality if held else None,
        profile=held.profile.id.hex() if held else None,
        data=held.data if held else "",
    )


def replaced(points: Sequence[OperatingPoint], fresh: Sequence[OperatingPoint]) -> tuple[OperatingPoint, ...]:
    """The fresh points, then the old ones that none of them replaces (by name and quality)."""
    taken = {(p.name, p.quality) for p in fresh}
    return *fresh, *(p for p in points if (p.name, p.quality) not in taken)


def take(p: Predictions, indices: NDArray[np.integer] | NDArray[np.bool_]) -> Predictions:
    """The predictions at these indices, or where this mask is true."""
    fields = ("low", "high", "targets", "low_bytes", "high_bytes")
    return replace(p, **{name: getattr(p, name)[indices] for name in fields})
