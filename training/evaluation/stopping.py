"""Stopping rules of a cascade, and the layers that images take under them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overtone.models import OperatingPoint

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Rule:
    """A stopping rule: thresholds after each layer but the last, as those of an `OperatingPoint`."""

    thresholds: tuple[float, ...]
    all_below: tuple[float, ...] = ()

    @classmethod
    def of(cls, point: OperatingPoint) -> "Rule":
        """The rule of an operating point."""
        return cls(point.thresholds, point.all_below)

    @classmethod
    def uniform(cls, threshold: float, layers: int) -> "Rule":
        """One threshold for all layers."""
        return cls((threshold,) * (layers - 1))


def judged_layers(
    confidences: Floats,
    thresholds: tuple[float, ...] | Floats,
    all_below: tuple[float, ...] | Floats = (),
) -> Bools:
    """The layers after which images are judged: bool[layers, n], true where an answer is computed.

    The same as `OperatingPoint.wanted`, image by image.

    Args:
        confidences: after each layer but the last, float64[layers - 1, n].
        thresholds: for each layer but the last, a number or float64[m, 1] for m rules at once; the result is then
            bool[layers, m, n].
        all_below: as `thresholds`, or empty.
    """
    below = all_below if len(all_below) else np.zeros_like(thresholds)
    shape = np.broadcast_shapes(confidences[0].shape, np.shape(thresholds[0]))
    judged = np.zeros((len(thresholds) + 1, *shape), dtype=bool)
    judged[0] = True
    for layer, (scores, threshold, at_once) in enumerate(zip(confidences, thresholds, below, strict=True)):
        asks = judged[layer] & (scores < threshold)
        judged[-1] |= asks & (scores < at_once)
        judged[layer + 1] |= asks & (scores >= at_once)
    return judged


def layers_taken(judged: Bools) -> Ints:
    """The number of layers that each image takes, int64[...]: up to the last layer after which it is judged."""
    layers: Ints = len(judged) - judged[::-1].argmax(axis=0)
    return layers
