"""Contexts: what is known of a coefficient before it is coded, and which table that selects.

Two weighted sums of features (see `neighbours`), in 1024ths of the channel's step, describe a coefficient: its
`centre` predicts the value, its `spread` predicts how far the value will be from the centre. What is coded is
the residual, the difference from the integer nearest to the centre. Where the centre lies below that integer,
the residual's sign is flipped, so that the centre always lies on the positive side. The context is one of 20
levels of the spread combined with one of 4 levels of the distance between the centre and that integer.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from overtone.frequency.coding_plan import ChannelPlan, Tap
from overtone.frequency.neighbours import Wide, causal_neighbours, feature_reader

SCALE_BITS: Final = 10
ONE: Final = 1 << SCALE_BITS
LIMIT: Final = 1 << 15 + SCALE_BITS  # keeps a centre within int16
LIFT_BITS: Final = 6
SPREADS: Final = (
    10,
    20,
    36,
    56,
    82,
    123,
    174,
    246,
    348,
    492,
    696,
    973,
    1434,
    2150,
    3584,
    5600,
    8700,
    13500,
    21000,
)
OFFSETS: Final = (51, 154, 307)
OFFSET_LEVELS: Final = len(OFFSETS) + 1
CONTEXTS: Final = (len(SPREADS) + 1) * OFFSET_LEVELS


class Context(NamedTuple):
    """Of each block: the number of its context, the integer nearest to the centre, and if signs are flipped."""

    number: Wide
    nearest: Wide
    flipped: NDArray[np.bool_]


def context(planes: NDArray[np.int16], number: int, plan: ChannelPlan, dc: tuple[bool, ...]) -> Context:
    """The contexts of all blocks of planes[number], of int16[..., P, h, w]."""
    centre, spread = weighted_sums(planes, number, plan, dc, own=True)
    return context_of(centre, spread + plan.floor, plan.lift)


def weighted_sums(
    planes: NDArray[np.int16], number: int, plan: ChannelPlan, dc: tuple[bool, ...], *, own: bool
) -> tuple[Wide, Wide]:
    """Centre and spread int64[..., h, w], without the constants.

    Without `own`, only the features of other channels are counted in.
    """
    shape = planes.shape[:-3] + planes.shape[-2:]
    centre, spread = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    sources = {t.source for t in (*plan.centre, *plan.spread)}
    for source in sorted(sources if own else sources - {number}):
        read = feature_reader(planes[..., source, :, :], source == number, dc[source])
        for tap in _of(source, plan.centre):
            centre += tap.weight * read(tap.feature)
        for tap in _of(source, plan.spread):
            spread += tap.weight * np.abs(read(tap.feature))
    if own and dc[number]:
        centre += causal_neighbours(planes[..., number, :, :])["med"] << SCALE_BITS
    return centre, spread


def context_of(centre: Wide, spread: Wide, lift: int) -> Context:
    """Contexts of centres and spreads; `lift`, times how far the centre is from zero, is yet to be added."""
    centre = np.clip(centre, -LIMIT, LIMIT)
    spread = spread + (lift * np.abs(centre) >> LIFT_BITS)
    nearest = centre + ONE // 2 >> SCALE_BITS
    offset = centre - (nearest << SCALE_BITS)
    number = np.searchsorted(SPREADS, spread, side="right") * OFFSET_LEVELS
    number += np.searchsorted(OFFSETS, np.abs(offset), side="right")
    return Context(number, nearest, offset < 0)


def map_residual(plane: NDArray[np.int16], known: Context) -> Wide:
    """Residuals as numbers from 0 to 65535: 0, -1, 1, -2 ... become 0, 1, 2, 3 ...

    The numbers are small where the centre was a good prediction. Residuals wrap modulo 2^16, so any int16 can be
    coded.
    """
    residual = plane - known.nearest
    wrapped = np.where(known.flipped, -residual, residual).astype(np.int16).astype(np.int64)
    return np.where(wrapped < 0, -2 * wrapped - 1, 2 * wrapped)


def _of(source: int, taps: tuple[Tap, ...]) -> list[Tap]:
    return [t for t in taps if t.source == source]
