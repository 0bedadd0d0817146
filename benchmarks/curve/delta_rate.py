"""Accuracy against bytes: the frontier of measured points, and one number for two frontiers.

The number is Bjontegaard's delta rate (VCEG-M33, 2001): the mean difference of the logarithm of bytes at equal
accuracy, over the range of accuracy that both reach. Points are joined piecewise-cubic and monotone (PCHIP, Fritsch
and Carlson 1980), as in the common test conditions of JVET and AOM, because a single cubic through all points
oscillates where they are close.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.interpolate import PchipInterpolator


class CurveError(ValueError):
    """Curves that cannot be compared; the message says why."""


@dataclass(frozen=True)
class Point:
    """Mean bytes per image and accuracy of one way to send images, and what that way is.

    Accuracy is a fraction: top-1, or AP50 of detectors.
    """

    bytes: float
    accuracy: float
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Ratio:
    """One frontier's bytes over another's at equal accuracy, and the range of accuracy that it is a mean over."""

    ratio: float
    lowest: float
    highest: float


def frontier(points: Iterable[Point]) -> list[Point]:
    """The points that no other beats in both; bytes and accuracy strictly ascend."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda p: (p.bytes, -p.accuracy)):
        if not kept or point.accuracy > kept[-1].accuracy:
            kept.append(point)
    return kept


def thinned(curve: Sequence[Point], apart: float = 0.15) -> list[Point]:
    """A frontier on which each point takes at least that share more bytes than the one before.

    Of two that are closer, the more accurate stays. Fewer points give chance fewer opportunities.
    """
    kept: list[Point] = []
    for point in reversed(curve):
        if not kept or point.bytes * (1 + apart) <= kept[-1].bytes:
            kept.append(point)
    return kept[::-1]


def compare(ours: Sequence[Point], theirs: Sequence[Point]) -> Ratio:
    """Geometric mean of our bytes over theirs, over the range of accuracy that both frontiers reach.

    Raises:
        CurveError: one of them has fewer than two points, or they have no range in common.
    """
    curves = frontier(ours), frontier(theirs)
    if min(map(len, curves)) < 2:
        raise CurveError("a curve of fewer than two points cannot be compared")
    lowest = max(curve[0].accuracy for curve in curves)
    highest = min(curve[-1].accuracy for curve in curves)
    if not lowest < highest:
        raise CurveError("the curves reach no accuracy in common")
    mine, other = (float(_log_bytes(curve).integrate(lowest, highest)) for curve in curves)
    return Ratio(float(np.exp((mine - other) / (highest - lowest))), lowest, highest)


def _log_bytes(curve: Sequence[Point]) -> PchipInterpolator:
    return PchipInterpolator([p.accuracy for p in curve], np.log([p.bytes for p in curve]), extrapolate=False)
