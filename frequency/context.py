"""Contexts: which table codes a coefficient, and around which value, from its readings.

Two weighted sums of readings, in 1024ths of the channel's step, are all that is known of a coefficient before
it is coded: its `centre`, where it is expected, and its `spread`, how far from there. The coefficient is
coded as its distance from the nearest integer to the centre, mirrored so that the centre lies on its positive
side; the context is one of 20 levels of the spread times 4 of how far the centre is from that integer.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from overtone.frequency.plan import ChannelPlan, Tap
from overtone.frequency.reading import Wide, own_places, reader

SCALE_BITS: Final = 10
ONE: Final = 1 << SCALE_BITS
LIMIT: Final = 1 << 15 + SCALE_BITS  # a centre stays within int16
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


class Sight(NamedTuple):
    """Of each block of a channel: context int64, nearest integer to the centre int64, mirrored bool."""

    context: Wide
    nearest: Wide
    mirrored: NDArray[np.bool_]


def sight(planes: NDArray[np.int16], number: int, plan: ChannelPlan, dc: tuple[bool, ...]) -> Sight:
    """What is known of every block of planes[number], int16[..., P, h, w], before it is coded."""
    centre, spread = sums(planes, number, plan, dc, own=True)
    return classify(centre, spread + plan.floor, plan.lift)


def sums(
    planes: NDArray[np.int16], number: int, plan: ChannelPlan, dc: tuple[bool, ...], *, own: bool
) -> tuple[Wide, Wide]:
    """Centre and spread int64[..., h, w] as far as other channels give them, and with `own` this one."""
    shape = planes.shape[:-3] + planes.shape[-2:]
    centre, spread = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    sources = {t.source for t in (*plan.centre, *plan.spread)}
    for source in sorted(sources if own else sources - {number}):
        read = reader(planes[..., source, :, :], source == number, dc[source])
        for tap in _of(source, plan.centre):
            centre += tap.weight * read(tap.reading)
        for tap in _of(source, plan.spread):
            spread += tap.weight * np.abs(read(tap.reading))
    if own and dc[number]:
        centre += own_places(planes[..., number, :, :])["med"] << SCALE_BITS
    return centre, spread


def classify(centre: Wide, spread: Wide, lift: int) -> Sight:
    """Contexts from centres and spreads (its constant part added, what the centre lifts it by not yet)."""
    centre = np.clip(centre, -LIMIT, LIMIT)
    spread = spread + (lift * np.abs(centre) >> LIFT_BITS)
    nearest = centre + ONE // 2 >> SCALE_BITS
    offset = centre - (nearest << SCALE_BITS)
    context = np.searchsorted(SPREADS, spread, side="right") * OFFSET_LEVELS
    context += np.searchsorted(OFFSETS, np.abs(offset), side="right")
    return Sight(context, nearest, offset < 0)


def fold(plane: NDArray[np.int16], seen: Sight) -> Wide:
    """Numbers from 0 to 65535, small where the centre was right: 0, -1, 1, -2 ... become 0, 1, 2, 3 ...

    Differences wrap modulo 2^16, so any int16 survives.
    """
    away = plane - seen.nearest
    wrapped = np.where(seen.mirrored, -away, away).astype(np.int16).astype(np.int64)
    return np.where(wrapped < 0, -2 * wrapped - 1, 2 * wrapped)


def _of(source: int, taps: tuple[Tap, ...]) -> list[Tap]:
    return [t for t in taps if t.source == source]
