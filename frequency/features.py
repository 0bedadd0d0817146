"""Features: the known values around a block that the entropy coder reads before it codes the block.

A tap is a place of a plane, up to two blocks away in each direction. Its feature is the value there; in a DC channel,
where the brightness itself should not matter, it is the difference from a reference. In the channel that is being
coded for the first time that is `med`, the median of w, n and w + n - nw: the MED predictor of LOCO-I (Weinberger et
al. 2000; ITU-T T.87, A.4.2). In other channels, and where a channel is refined, it is the value at the block itself.

Outside the image a plane continues with its nearest block. In the channel that is being coded for the first time only
the blocks before this one are known: features above the first row are 0, and to the left of every other row stands
the first block of the row above. In a channel that is being refined, the blocks before this one are known finely, the
others, and those outside the image, coarsely.

Networks see a feature as a code: eight times the binary logarithm of 1 + 4 |feature|, where the feature is counted
in steps of the channel that is coded, and the logarithm is linear between powers of two.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Wide = NDArray[np.int64]

SCALE_BITS: Final = 10
ONE: Final = 1 << SCALE_BITS
REACH: Final = 2
PLACES: Final[tuple[tuple[int, int], ...]] = tuple(
    (down, right) for down in range(-REACH, REACH + 1) for right in range(-REACH, REACH + 1)
)
CENTRE_PLACE: Final = len(PLACES) // 2
CAUSAL_PLACES: Final = CENTRE_PLACE  # all places before the block itself
MAX_FEATURE: Final = 4095
MAX_RATIO: Final = 1 << 19
MAX_CODE: Final = 127
_MAX_INPUT: Final = (1 << 31) - 1


class Tap(NamedTuple):
    """A plane, by its number in low + high, and an index in `PLACES`."""

    source: int
    place: int


def code(magnitudes: Wide) -> Wide:
    """Codes from 0 to 127 of magnitudes int64[...] in 1024ths of a step."""
    shifted = 64 + (np.minimum(magnitudes, _MAX_INPUT) >> 2)
    exponent = np.frexp(shifted.astype(np.float64))[1].astype(np.int64) - 1
    found: Wide = np.minimum((exponent << 3) + (shifted >> exponent - 3 & 7) - 48, MAX_CODE)
    return found


def code_of(magnitude: int) -> int:
    """The code of one magnitude."""
    shifted = 64 + (min(magnitude, _MAX_INPUT) >> 2)
    exponent = shifted.bit_length() - 1
    return min((exponent << 3) + (shifted >> exponent - 3 & 7) - 48, MAX_CODE)


def med(w: Wide, n: Wide, nw: Wide) -> Wide:
    """The MED predictor."""
    found: Wide = np.clip(w + n - nw, np.minimum(w, n), np.maximum(w, n))
    return found


def surrounding(plane: NDArray[np.integer]) -> Callable[[int], Wide]:
    """A function from a place to its values int64[..., h, w], in a plane [..., h, w] that is known everywhere."""
    padded = padded_plane(plane)
    return lambda place: _shifted(padded, place)


def causal(plane: NDArray[np.integer]) -> Callable[[int], Wide]:
    """As `surrounding`, for places before the block, in a plane that is being coded."""
    padded = padded_plane(plane)
    same_row = padded.copy()
    same_row[..., REACH + 1 : -REACH, :REACH] = plane[..., :-1, :1]
    same_row[..., REACH, :REACH] = 0

    return lambda place: _shifted(padded if PLACES[place][0] else same_row, place)


def refined(coarse: NDArray[np.integer], fine: NDArray[np.integer]) -> Callable[[int], Wide]:
    """As `surrounding`, in a plane that is being refined."""
    padded = padded_plane(coarse)
    mixed = padded.copy()
    mixed[..., REACH:-REACH, REACH:-REACH] = fine
    return lambda place: _shifted(mixed if place < CAUSAL_PLACES else padded, place)


def predicted(plane: NDArray[np.integer]) -> Wide:
    """`med` of every block of a plane that is being coded; in the first row, w."""
    read = causal(plane)
    w, n, nw = (read(PLACES.index(place)).copy() for place in ((0, -1), (-1, 0), (-1, -1)))
    n[..., 0, :] = w[..., 0, :]
    nw[..., 0, :] = w[..., 0, :]
    return med(w, n, nw)


def activity(plane: NDArray[np.integer], dc: bool) -> Wide:
    """The activity of each row [..., h]: the sum of magnitudes, in a DC channel of horizontal differences."""
    wide = plane.astype(np.int64)
    sums: Wide = np.abs(np.diff(wide, axis=-1) if dc else wide).sum(axis=-1)
    return sums


def padded_plane(plane: NDArray[np.integer]) -> Wide:
    """A plane that continues with its nearest blocks for two blocks on all sides."""
    around = [(0, 0)] * (plane.ndim - 2) + [(REACH, REACH)] * 2
    found: Wide = np.pad(plane.astype(np.int64), around, mode="edge")
    return found


def _shifted(padded: Wide, place: int) -> Wide:
    down, right = PLACES[place]
    height, width = padded.shape[-2] - 2 * REACH, padded.shape[-1] - 2 * REACH
    return padded[..., REACH + down : REACH + down + height, REACH + right : REACH + right + width]
