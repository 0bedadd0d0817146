"""Median prediction of DC planes: MED of LOCO-I (Weinberger et al. 2000; ITU-T T.87, A.4.2).

With left a, above b and above-left c, the prediction is the median of a, b and a + b - c; outside the plane
all are 0, so the first row is predicted from the left and the first column from above. Residuals wrap modulo
2^16: any int16 plane survives the round trip.
"""

import numpy as np
from numpy.typing import NDArray

Wide = NDArray[np.int32]


def residual(planes: NDArray[np.int16]) -> NDArray[np.int16]:
    """What prediction leaves of planes int16[..., h, w]; the planes are predicted one by one."""
    padded = _pad(planes)
    left, above, corner = padded[..., 1:, :-1], padded[..., :-1, 1:], padded[..., :-1, :-1]
    wide: Wide = padded[..., 1:, 1:] - _median(left, above, corner)
    return wide.astype(np.int16)


def restore(residuals: NDArray[np.int16]) -> NDArray[np.int16]:
    """The inverse of `residual`: planes int16[P, h, w], all of them along one anti-diagonal at a time."""
    count, height, width = residuals.shape
    pitch = width + 1
    flat = _pad(residuals).reshape(count, (height + 1) * pitch)
    for diagonal in range(height + width - 1):
        # Down one row and left one column is `width` further on; neighbours are fixed distances back.
        top, bottom = max(0, diagonal - width + 1), min(diagonal, height - 1)
        first = (top + 1) * pitch + diagonal - top + 1
        last = first + (bottom - top) * width + 1
        left, above, corner = (flat[:, first - back : last - back : width] for back in (1, pitch, pitch + 1))
        restored = flat[:, first:last:width] + _median(left, above, corner)
        flat[:, first:last:width] = restored.astype(np.int16)
    return flat.reshape(count, height + 1, pitch)[:, 1:, 1:].astype(np.int16)


def _median(left: Wide, above: Wide, corner: Wide) -> Wide:
    smaller, larger = np.minimum(left, above), np.maximum(left, above)
    median: Wide = np.minimum(np.maximum(left + above - corner, smaller), larger)
    return median


def _pad(planes: NDArray[np.int16]) -> Wide:
    *leading, height, width = planes.shape
    padded = np.zeros((*leading, height + 1, width + 1), dtype=np.int32)
    padded[..., 1:, 1:] = planes
    return padded
