"""Features: what the entropy coder reads around a block before it codes the block.

Neighbours are named by compass: `n` is the block above, `ww` the second to the left, `c` the block itself in
another channel. A feature is the value of one neighbour, or the difference of two. There are four lists of them:

- `CAUSAL`, in the channel that is being coded, has only blocks before this one in raster order;
- `SURROUNDING`, in a channel that has been coded already, has blocks on all sides;
- `CAUSAL_DC` and `SURROUNDING_DC` are for DC channels. They hold differences only, so that the brightness itself
  does not matter.

`med` is the median of w, n and w + n - nw: the MED predictor of LOCO-I (Weinberger et al. 2000; ITU-T T.87,
A.4.2).

Outside the image, a channel that has been coded already continues with its nearest block. In the channel that is
being coded, there are zeros to the left of the first row, and to the left of every other row two copies of the
first block of the row above. In the first row, w takes the place of every neighbour above. In the other rows, n
takes the place of nw at the left edge and of ne at the right edge, and in the second row also of nn.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Wide = NDArray[np.int64]
Feature = tuple[str, str]
Neighbours = dict[str, Wide]

CAUSAL: Final[tuple[Feature, ...]] = (("w", ""), ("n", ""), ("nw", ""), ("ne", ""), ("ww", ""), ("nn", ""))
CAUSAL_DC: Final[tuple[Feature, ...]] = (
    ("w", "nw"), ("n", "nw"), ("ne", "n"), ("w", "ww"), ("n", "nn"), ("w", "n"), ("w", "med")
)  # fmt: skip
SURROUNDING: Final[tuple[Feature, ...]] = (("c", ""), ("n", ""), ("s", ""), ("w", ""), ("e", ""))
SURROUNDING_DC: Final[tuple[Feature, ...]] = (
    ("n", "c"), ("s", "c"), ("w", "c"), ("e", "c"), ("e", "w"), ("s", "n"),
    ("nw", "c"), ("ne", "c"), ("sw", "c"), ("se", "c"),
)  # fmt: skip


def features(causal: bool, dc: bool) -> tuple[Feature, ...]:
    """The features of a channel: causal ones for the channel being coded; differences for a DC channel."""
    if causal:
        return CAUSAL_DC if dc else CAUSAL
    return SURROUNDING_DC if dc else SURROUNDING


def feature_reader(plane: NDArray[np.integer], causal: bool, dc: bool) -> Callable[[int], Wide]:
    """A function from the number of a feature to its values int64[..., h, w] over a plane [..., h, w]."""
    values = causal_neighbours(plane) if causal else surrounding_neighbours(plane)
    listed = features(causal, dc)

    def read(number: int) -> Wide:
        first, second = listed[number]
        return values[first] - values[second] if second else values[first]

    return read


def causal_neighbours(plane: NDArray[np.integer]) -> Neighbours:
    """The neighbours of each block of the channel being coded, and `med`."""
    q = plane.astype(np.int64)
    n, w, nw, ne, ww, nn = (np.zeros_like(q) for _ in range(6))
    w[..., 1:] = q[..., :-1]
    w[..., 1:, 0] = q[..., :-1, 0]
    ww[..., 1:] = w[..., :-1]
    ww[..., 1:, 0] = w[..., 1:, 0]
    n[..., 1:, :] = q[..., :-1, :]
    nw[..., 1:, 1:] = q[..., :-1, :-1]
    nw[..., 1:, 0] = n[..., 1:, 0]
    ne[..., 1:, :-1] = q[..., :-1, 1:]
    ne[..., 1:, -1] = n[..., 1:, -1]
    nn[..., 2:, :] = q[..., :-2, :]
    nn[..., 1:2, :] = n[..., 1:2, :]
    for above in (n, nw, ne, nn):
        above[..., 0, :] = w[..., 0, :]
    return {"w": w, "n": n, "nw": nw, "ne": ne, "ww": ww, "nn": nn, "med": med(w, n, nw)}


def surrounding_neighbours(plane: NDArray[np.integer]) -> Neighbours:
    """The neighbours of each block of a channel that has been coded."""
    *leading, height, width = plane.shape
    around = [(0, 0)] * len(leading) + [(1, 1), (1, 1)]
    padded: Wide = np.pad(plane.astype(np.int64), around, mode="edge")

    def shifted(down: int, right: int) -> Wide:
        return padded[..., 1 + down : 1 + down + height, 1 + right : 1 + right + width]

    names = (("nw", "n", "ne"), ("w", "c", "e"), ("sw", "s", "se"))
    return {name: shifted(y - 1, x - 1) for y, row in enumerate(names) for x, name in enumerate(row)}


def med(w: Wide, n: Wide, nw: Wide) -> Wide:
    """The MED predictor."""
    found: Wide = np.clip(w + n - nw, np.minimum(w, n), np.maximum(w, n))
    return found
