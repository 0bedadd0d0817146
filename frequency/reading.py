"""Readings: what the coder looks at around a block before it codes it.

A place is a neighbour of the block, named by compass (`c` is the block itself, `ww` two to the west); a
reading is one place, or one place minus another. There are four lists of them: in the channel being coded
only blocks before this one in raster order can be read (`OWN`), in a channel already coded all around it
(`NEAR`), and DC channels are read as differences, so that brightness itself does not matter (`OWN_DC`,
`NEAR_DC`). `med` is the median of w, n and w + n - nw: the MED predictor of LOCO-I (Weinberger et al. 2000;
ITU-T T.87, A.4.2).

Outside the picture: a channel already coded goes on with its nearest block. In the channel being coded the
first row has w for all that is above it, and two blocks west of any other row stand copies of the first block
above; north-west and north-east of the ends of a row is n; a second row's nn is n. The very first block reads
0.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Wide = NDArray[np.int64]
Pair = tuple[str, str]
Places = dict[str, Wide]

OWN: Final[tuple[Pair, ...]] = (("w", ""), ("n", ""), ("nw", ""), ("ne", ""), ("ww", ""), ("nn", ""))
OWN_DC: Final[tuple[Pair, ...]] = (
    ("w", "nw"), ("n", "nw"), ("ne", "n"), ("w", "ww"), ("n", "nn"), ("w", "n"), ("w", "med")
)  # fmt: skip
NEAR: Final[tuple[Pair, ...]] = (("c", ""), ("n", ""), ("s", ""), ("w", ""), ("e", ""))
NEAR_DC: Final[tuple[Pair, ...]] = (
    ("n", "c"), ("s", "c"), ("w", "c"), ("e", "c"), ("e", "w"), ("s", "n"),
    ("nw", "c"), ("ne", "c"), ("sw", "c"), ("se", "c"),
)  # fmt: skip


def pairs(own: bool, dc: bool) -> tuple[Pair, ...]:
    """The list of readings of a channel: the one being coded or another one, a DC or not."""
    if own:
        return OWN_DC if dc else OWN
    return NEAR_DC if dc else NEAR


def reader(plane: NDArray[np.integer], own: bool, dc: bool) -> Callable[[int], Wide]:
    """A function from the number of a reading to its values int64[..., h, w] over a plane [..., h, w]."""
    places = own_places(plane) if own else near_places(plane)
    wanted = pairs(own, dc)

    def read(number: int) -> Wide:
        first, second = wanted[number]
        return places[first] - places[second] if second else places[first]

    return read


def own_places(plane: NDArray[np.integer]) -> Places:
    """Places before each block of the channel being coded."""
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
    return {"w": w, "n": n, "nw": nw, "ne": ne, "ww": ww, "nn": nn, "med": median(w, n, nw)}


def near_places(plane: NDArray[np.integer]) -> Places:
    """Places around each block of a channel already coded."""
    *leading, height, width = plane.shape
    around = [(0, 0)] * len(leading) + [(1, 1), (1, 1)]
    padded: Wide = np.pad(plane.astype(np.int64), around, mode="edge")

    def shifted(down: int, right: int) -> Wide:
        return padded[..., 1 + down : 1 + down + height, 1 + right : 1 + right + width]

    names = (("nw", "n", "ne"), ("w", "c", "e"), ("sw", "s", "se"))
    return {name: shifted(y - 1, x - 1) for y, row in enumerate(names) for x, name in enumerate(row)}


def median(w: Wide, n: Wide, nw: Wide) -> Wide:
    """The MED predictor."""
    found: Wide = np.clip(w + n - nw, np.minimum(w, n), np.maximum(w, n))
    return found
