"""Bitmaps as the compressed run-lengths of COCO's API (`pycocotools.mask`), the form in which answers have masks."""

import numpy as np
from numpy.typing import NDArray

# A letter has five bits of a number and one that says whether more letters follow; its code is counted from "0".
BITS, MORE, ZERO = 5, 0x20, 48


def run_lengths(bitmap: NDArray[np.bool_]) -> bytes:
    """The lengths of the runs of bool[height, width], column by column; the first run is of pixels that are not set."""
    counts = _runs(bitmap.ravel(order="F"))
    # From the fourth on, how much longer a run is than the one before the last.
    return b"".join(_letters(count - counts[i - 2] if i > 2 else count) for i, count in enumerate(counts))


def _runs(pixels: NDArray[np.bool_]) -> list[int]:
    ends = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    first = [0] if len(pixels) and pixels[0] else []
    lengths: list[int] = np.diff(ends, prepend=0, append=len(pixels)).tolist()
    return first + lengths


def _letters(number: int) -> bytes:
    """A signed number, its lowest bits first; the last letter's upper bit is the sign."""
    letters = bytearray()
    while True:
        low, number = number & (MORE - 1), number >> BITS
        done = number == (-1 if low & MORE >> 1 else 0)
        letters.append(ZERO + (low if done else low | MORE))
        if done:
            return bytes(letters)
