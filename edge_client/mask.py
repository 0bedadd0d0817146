"""Masks of objects in a picture, in the run-lengths of COCO's API.

The pixels of the columns, from the left one on, are counted in runs: of pixels outside, inside, outside, and so on.
From the fourth run on, the difference to the run before the last one is written. A number is written in groups of
five bits, lowest first, each a character from "0" on; a sixth bit says that another group follows, and the highest
bit of the last group is the sign (`rleToString` in cocoapi's maskApi.c).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FIRST = ord("0")
MORE, SIGN, BITS = 0x20, 0x10, 5
# A run-length has at most 32 bits.
LONGEST = 7


@dataclass(frozen=True)
class Mask:
    """A mask of `width` x `height` pixels, which may be fewer or more than the picture has."""

    width: int
    height: int
    counts: bytes

    def pixels(self) -> NDArray[np.bool_]:
        """The mask as bool[height, width].

        Raises:
            ValueError: the counts are damaged.
        """
        runs: list[int] = []
        for number in _numbers(self.counts):
            runs.append(number + (runs[-2] if len(runs) > 2 else 0))
        if any(run < 0 for run in runs) or sum(runs) != self.width * self.height:
            raise ValueError("the run-lengths of a mask do not fit its size")
        inside = np.arange(len(runs)) % 2 == 1
        return np.repeat(inside, runs).reshape(self.width, self.height).T

    def to_json(self) -> dict[str, Any]:
        """As in COCO's files: `size`, height and width, and `counts`."""
        return {"size": [self.height, self.width], "counts": self.counts.decode("ascii")}


def _numbers(counts: bytes) -> Iterator[int]:
    value = shift = 0
    for character in counts:
        group = character - FIRST
        if not 0 <= group < 64 or shift >= LONGEST * BITS:
            raise ValueError("the run-lengths of a mask cannot be read")
        value |= (group & (MORE - 1)) << shift
        shift += BITS
        if not group & MORE:
            yield value - (1 << shift) if group & SIGN else value
            value = shift = 0
    if shift:
        raise ValueError("the run-lengths of a mask are cut off")
