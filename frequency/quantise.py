"""Coefficients to integers and back: round to nearest, one step per channel."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Steps = Sequence[float] | NDArray[np.floating] | NDArray[np.integer]


def quantise(values: NDArray[np.floating], steps: Steps) -> NDArray[np.int16]:
    """int16[C, h, w] of coefficients float[C, h, w]: value / step, halves to even, held within int16."""
    scaled: NDArray[np.floating] = np.rint(values / _column(values, steps))
    return scaled.clip(-(1 << 15), (1 << 15) - 1).astype(np.int16)


def dequantise(values: NDArray[np.integer], steps: Steps) -> NDArray[np.float32]:
    """Coefficients float32[C, h, w] at the middle of the intervals int16[C, h, w] stands for."""
    return values.astype(np.float32) * _column(values, steps)


def _column(values: NDArray[np.floating] | NDArray[np.integer], steps: Steps) -> NDArray[np.float32]:
    column = np.asarray(steps, dtype=np.float32)
    if values.ndim != 3 or column.shape != values.shape[:1]:
        raise ValueError(f"need [C, h, w] and C steps, got {list(values.shape)} and {list(column.shape)}")
    return column[:, None, None]
