"""A band as unsigned numbers, small where the picture is calm: DC prediction, then zigzag.

Zigzag takes 0, -1, 1, -2, 2 ... to 0, 1, 2, 3, 4 ...; all of int16 fills 0 to 65535. Encoder, decoder and
the counting of tables all pass through here, so they cannot disagree.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from frequency.channels import DC
from frequency.prediction import residual, restore


def fold(band: NDArray[np.int16], channels: Sequence[int]) -> NDArray[np.int32]:
    """int32[..., C, h, w] from 0 to 65535 of quantised coefficients int16[..., C, h, w]."""
    values = band.astype(np.int32)
    dc = _dc_planes(channels)
    values[..., dc, :, :] = residual(band[..., dc, :, :])
    return np.where(values < 0, -2 * values - 1, 2 * values)


def unfold(numbers: NDArray[np.int32], channels: Sequence[int]) -> NDArray[np.int16]:
    """The inverse of `fold` for one picture: int16[C, h, w]."""
    values = ((numbers >> 1) ^ -(numbers & 1)).astype(np.int16)
    dc = _dc_planes(channels)
    values[dc] = restore(values[dc])
    return values


def _dc_planes(channels: Sequence[int]) -> list[int]:
    return [plane for plane, channel in enumerate(channels) if channel in DC]
