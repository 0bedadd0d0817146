"""Coefficients to integers and back: one step per channel, and a dead zone around zero."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Steps = Sequence[float] | NDArray[np.floating] | NDArray[np.integer]

# The threshold of plain rounding, without a dead zone.
PLAIN = 0.5


def quantise(values: NDArray[np.floating], steps: Steps, threshold: float = PLAIN) -> NDArray[np.int16]:
    """Coefficients float[C, h, w] divided by their steps, rounded and clipped: int16[C, h, w].

    `threshold` is the fraction of a step from which a value is rounded away from zero. 0.5 rounds to nearest,
    halves to even; a larger threshold makes a dead zone, which saves bytes where they carry least (Sullivan,
    "Efficient scalar quantization of exponential and Laplacian random variables", 1996). Decoders need not know
    the threshold.
    """
    scaled: NDArray[np.floating] = values / _column(values, steps)
    if threshold == PLAIN:
        rounded: NDArray[np.floating] = np.rint(scaled)
    else:
        rounded = np.copysign(np.floor(np.abs(scaled) + np.float32(1 - threshold)), scaled)
    return rounded.clip(-(1 << 15), (1 << 15) - 1).astype(np.int16)


def dequantise(values: NDArray[np.integer], steps: Steps) -> NDArray[np.float32]:
    """Coefficients float32[C, h, w] at the middle of the intervals that int16[C, h, w] stand for."""
    return values.astype(np.float32) * _column(values, steps)


def _column(values: NDArray[np.floating] | NDArray[np.integer], steps: Steps) -> NDArray[np.float32]:
    column = np.asarray(steps, dtype=np.float32)
    if values.ndim != 3 or column.shape != values.shape[:1]:
        raise ValueError(f"need [C, h, w] and C steps, got {list(values.shape)} and {list(column.shape)}")
    return column[:, None, None]
