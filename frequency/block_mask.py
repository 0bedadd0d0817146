"""Block masks: the set of a picture's blocks that a layer codes, and its compact form.

Rows are predicted from the row above. A row that repeats it takes one binary symbol; of any other, every block is
coded in a context of five neighbours: two to its left and three above it. Probabilities start from those of typical
masks, and adapt. `docs/protocol.md` specifies the bytes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from overtone.frequency import rans
from overtone.frequency.coding_plan import Model
from overtone.frequency.errors import PayloadError
from overtone.frequency.frequency_tables import TOTAL

Blocks = NDArray[np.bool_]

# A box that ends at the edge of a block by all but rounding does not reach into the next one.
_ROUNDING: Final = 1e-6
_BEFORE, _AFTER = 2, 1  # blocks outside that contexts read, to the left and to the right
_SYMBOL_BYTES: Final = 2  # that a symbol takes at most
_STEP: Final = 4  # what a symbol adds to its count
_MOST: Final = 255  # counts of a context are halved beyond this
# Counts to begin with, of boxes with margins in photographs: a row that differs and one that repeats the one above;
# a block outside and inside, by the context of its neighbours.
_REPEATS: Final = (8, 72)
_PRIOR: Final = (
    (29, 1), (29, 1), (1, 30), (2, 28), (30, 1), (14, 1), (1, 2), (20, 10),
    (1, 1), (1, 1), (1, 1), (1, 1), (30, 1), (16, 1), (1, 11), (1, 29),
    (29, 1), (30, 1), (1, 21), (3, 27), (10, 1), (1, 1), (1, 1), (18, 12),
    (15, 15), (7, 23), (1, 18), (1, 30), (30, 1), (29, 1), (1, 30), (1, 30),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class BlockMask:
    """A set of a picture's blocks: `blocks` bool[h, w] is true for those in the set.

    Raises:
        ValueError: `blocks` is no array of two dimensions.
    """

    blocks: Blocks

    def __post_init__(self) -> None:
        blocks = np.array(self.blocks, np.bool_)
        if blocks.ndim != 2 or not blocks.size:
            raise ValueError(f"need bool[h, w], got {list(blocks.shape)}")
        blocks.flags.writeable = False
        object.__setattr__(self, "blocks", blocks)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BlockMask) and np.array_equal(self.blocks, other.blocks)

    def __hash__(self) -> int:
        return hash((self.shape, self.blocks.tobytes()))

    @property
    def shape(self) -> tuple[int, int]:
        """(h, w): blocks from top to bottom and from left to right."""
        height, width = self.blocks.shape
        return height, width

    @property
    def count(self) -> int:
        """The number of blocks in the mask."""
        return int(self.blocks.sum())

    @property
    def share(self) -> float:
        """The fraction of the picture's blocks that are in the mask."""
        return self.count / self.blocks.size

    @property
    def everything(self) -> bool:
        """Whether all blocks are in the mask."""
        return bool(self.blocks.all())

    def covers(self, other: Self) -> bool:
        """Whether every block of another mask of the same shape is in this one."""
        return self.shape == other.shape and not bool((other.blocks & ~self.blocks).any())

    @classmethod
    def covering(cls, boxes: ArrayLike, shape: tuple[int, int], margin: int = 0) -> Self:
        """The blocks that boxes touch, and those at most `margin` blocks away.

        Boxes are [n, 4] of left, top, right, bottom as fractions of the square that the blocks make up. What lies
        outside is cut off, and a box without area covers nothing.

        Raises:
            ValueError: the boxes have another shape, or a corner is not a number.
        """
        corners = np.asarray(boxes, np.float64) if np.size(boxes) else np.empty((0, 4))
        if corners.ndim != 2 or corners.shape[1] != 4 or np.isnan(corners).any():
            raise ValueError("need boxes [n, 4] of numbers")
        height, width = shape
        blocks = np.zeros(shape, np.bool_)
        left, top, right, bottom = np.clip(corners, 0, 1).T * [[width], [height], [width], [height]]
        begins = np.floor(np.stack([left, top]) + _ROUNDING).astype(int) - margin
        ends = np.ceil(np.stack([right, bottom]) - _ROUNDING).astype(int) + margin
        nonempty = (left < right) & (top < bottom)
        for (x, y), (x_end, y_end) in zip(np.maximum(begins, 0).T[nonempty], ends.T[nonempty], strict=True):
            blocks[y:y_end, x:x_end] = True
        return cls(blocks)

    def pack(self) -> bytes:
        """The mask in its compact form, which does not include the shape."""
        intervals: list[tuple[int, int]] = []

        def push(counts: Counts, bit: int) -> int:
            model = counts.model
            intervals.append((model.frequencies[bit], model.starts[bit]))
            return bit

        walk(self.shape, push, self.blocks.astype(int).tolist())
        frequencies, starts = np.array(intervals).T
        return rans.encode(frequencies, starts)

    @classmethod
    def unpack(cls, packed: bytes, shape: tuple[int, int]) -> Self:
        """The inverse of `pack`; time and memory are bounded by the shape.

        Raises:
            PayloadError: these bytes are not the packed form of a mask of that shape.
        """
        height, width = shape
        if len(packed) > rans.STATE_BYTES + _SYMBOL_BYTES * height * (1 + width):
            raise PayloadError("damaged block mask: too long for its picture")
        decoder = rans.Decoder(packed)
        rows = walk(shape, lambda counts, _: decoder.symbol(counts.model))
        if decoder.finish():
            raise PayloadError("damaged block mask: the coder does not end where it began")
        return cls(np.array(rows, np.bool_))


class Counts:
    """An adaptive model of a binary symbol: the numbers of zeros and ones so far."""

    def __init__(self, zeros: int, ones: int) -> None:
        self._seen = [zeros, ones]

    @property
    def model(self) -> Model:
        """The frequencies of 0 and 1."""
        zeros, ones = self._seen
        least = TOTAL * zeros // (zeros + ones)
        return Model((least, TOTAL - least), (0, least))

    def learn(self, bit: int) -> None:
        """Count another occurrence of this symbol."""
        self._seen[bit] += _STEP
        if sum(self._seen) > _MOST:
            self._seen = [count + 1 >> 1 for count in self._seen]


def walk(
    shape: tuple[int, int], code: Callable[[Counts, int], int], rows: Sequence[Sequence[int]] = ()
) -> list[list[int]]:
    """Encode the rows of a mask one after the other, or decode them if none are given; returns the rows.

    `code` encodes the symbol that it is given and returns it; a decoder ignores its argument and returns the symbol.
    """
    height, width = shape
    repeats, models = Counts(*_REPEATS), [Counts(*counts) for counts in _PRIOR]
    found, above = [], [0] * (width + _BEFORE + _AFTER)

    def coded(counts: Counts, bit: int) -> int:
        bit = code(counts, bit)
        counts.learn(bit)
        return bit

    for y in range(height):
        wanted = [0] * _BEFORE + [*rows[y]] + [0] * _AFTER if rows else []
        if not coded(repeats, int(wanted == above)):
            row = [0] * len(above)
            for x in range(_BEFORE, _BEFORE + width):
                left = row[x - 2] | row[x - 1] << 1
                context = left | above[x - 1] << 2 | above[x] << 3 | above[x + 1] << 4
                row[x] = coded(models[context], wanted[x] if rows else 0)
            if row == above:
                raise PayloadError("damaged block mask: a row that repeats another is not marked as one")
            above = row
        found.append(above[_BEFORE : _BEFORE + width])
    return found
