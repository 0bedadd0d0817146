"""The body of a payload: a band's channels one after another, as rANS intervals. The twin everybody has.

Of each channel first whether it is empty, then, if it is not, every block in raster order.
"""

from bisect import bisect_right
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from overtone.frequency import rans
from overtone.frequency.bank import BITS, TOTAL
from overtone.frequency.context import (
    LIFT_BITS,
    LIMIT,
    OFFSET_LEVELS,
    OFFSETS,
    ONE,
    SCALE_BITS,
    SPREADS,
    fold,
    sight,
    sums,
)
from overtone.frequency.errors import PayloadError
from overtone.frequency.plan import ChannelPlan, Model, Plan
from overtone.frequency.reading import OWN, OWN_DC, Pair

Intervals = NDArray[np.int64]
Look = Callable[[int, int, int], tuple[int, int]]

MAX_NUMBER: Final = (1 << 16) - 1
# A symbol, the length of an escape, and its two pieces take a word each at most.
_MOST_BYTES_EACH: Final = 2 * 4


def encode_band(planes: NDArray[np.int16], plan: Plan, check: int) -> bytes:
    """The body of the last channels of int16[C, h, w], those `plan` is for; the ones before are known."""
    found = [channel_intervals(planes, plan, number) for number in range(plan.first, len(planes))]
    intervals = np.concatenate(found)
    return rans.encode(intervals[:, 0], intervals[:, 1], check)


def decode_band(body: bytes, known: NDArray[np.int16], plan: Plan) -> tuple[NDArray[np.int16], int]:
    """The inverse of `encode_band`: int16[C, h, w] of the plan's channels, and the check.

    Raises:
        PayloadError: not something `encode_band` can have written.
    """
    _, height, width = known.shape
    if len(body) > largest(len(plan.channels), height * width):
        raise PayloadError("damaged payload: too long for its band")
    decoder = rans.Decoder(body)
    planes = np.concatenate([known, np.zeros((len(plan.channels), height, width), np.int16)])
    for number in range(plan.first, len(planes)):
        _decode_channel(decoder, planes, plan, number)
    return planes[plan.first :], decoder.finish()


def largest(channels: int, blocks: int) -> int:
    """The most bytes `encode_band` can write for that many channels of so many blocks."""
    return rans.STATE_BYTES + 2 * channels + _MOST_BYTES_EACH * channels * blocks


def channel_intervals(planes: NDArray[np.int16], plan: Plan, number: int) -> Intervals:
    """int64[n, 2]: frequencies and starts of a channel of int16[C, h, w], in the order of decoding."""
    this = plan.channels[number - plan.first]
    if not planes[number].any():
        return np.array([[this.empty, 0]])
    seen = sight(planes, number, this, plan.dc)
    numbers = fold(planes[number], seen).ravel()
    frequencies, starts, lasts = _matrices(plan.tables)
    models = np.array(this.models)[seen.context.ravel()]
    symbols = np.minimum(numbers, lasts[models])
    pairs = np.stack([frequencies[models, symbols], starts[models, symbols]], axis=1)
    return np.concatenate([[[TOTAL - this.empty, this.empty]], _with_escapes(pairs, numbers, lasts[models])])


def channel_bits(planes: NDArray[np.int16], plan: Plan) -> NDArray[np.float64]:
    """float64[n]: bits that each of the plan's channels takes of a body, flags and escapes included.

    Their sum is the body but for the coder's end: half a checksum, and the rounding to whole words.
    """
    found = [channel_intervals(planes, plan, number)[:, 0] for number in range(plan.first, len(planes))]
    return np.array([(BITS - np.log2(frequencies)).sum() for frequencies in found])


def _with_escapes(pairs: Intervals, numbers: NDArray[np.int64], lasts: NDArray[np.int64]) -> Intervals:
    at = np.flatnonzero(numbers >= lasts)
    escapes = [rans.escape(int(numbers[i] - lasts[i])) for i in at]
    behind = np.repeat(at + 1, [len(e) for e in escapes])
    flat = [interval for e in escapes for interval in e]
    return np.insert(pairs, behind, flat, axis=0) if flat else pairs


@lru_cache(maxsize=16)
def _matrices(tables: tuple[tuple[int, ...], ...]) -> tuple[Intervals, Intervals, NDArray[np.int64]]:
    """Frequencies and starts by table and symbol, and the escape of each table."""
    frequencies = np.zeros((len(tables), max(map(len, tables))), dtype=np.int64)
    for row, table in enumerate(tables):
        frequencies[row, : len(table)] = table
    starts = np.cumsum(frequencies, axis=1) - frequencies
    return frequencies, starts, np.array([len(table) - 1 for table in tables])


def _decode_channel(decoder: rans.Decoder, planes: NDArray[np.int16], plan: Plan, number: int) -> None:
    this = plan.channels[number - plan.first]
    flag = Model((this.empty, TOTAL - this.empty), (0, this.empty))
    if not decoder.symbol(flag):
        return
    centre, spread = sums(planes, number, this, plan.dc, own=False)
    models = [plan.bank[i] for i in this.models]
    dc, plane, height = plan.dc[number], planes[number], planes.shape[1]
    own = _OwnWeights(this, number, dc)
    rows: list[list[int]] = []
    for y in range(height):
        look = own.look(rows[-2:], centre[y], spread[y] + this.floor)
        rows.append(
            _decode_row(decoder, models, this.lift, look, rows[-1][0] if rows else 0, centre.shape[1])
        )
    plane[:] = rows
    if not plane.any():
        raise PayloadError("damaged payload: an empty channel is not marked as one")


def _decode_row(
    decoder: rans.Decoder, models: list[Model], lift: int, look: Look, before: int, width: int
) -> list[int]:
    row, w, ww = [], before, before
    for x in range(width):
        centre, spread = look(x, w, ww)
        centre = min(max(centre, -LIMIT), LIMIT)
        nearest = centre + ONE // 2 >> SCALE_BITS
        offset = centre - (nearest << SCALE_BITS)
        level = bisect_right(SPREADS, spread + (lift * abs(centre) >> LIFT_BITS))
        model = models[level * OFFSET_LEVELS + bisect_right(OFFSETS, abs(offset))]
        number = decoder.symbol(model)
        if number == len(model.starts) - 1:
            number += decoder.excess()
            if number > MAX_NUMBER:
                raise PayloadError("damaged payload: a value does not fit sixteen bits")
        away = -(number + 1 >> 1) if number & 1 else number >> 1
        value = nearest - away if offset < 0 else nearest + away
        ww, w = w, (value + 0x8000 & 0xFFFF) - 0x8000
        row.append(w)
    return row


class _OwnWeights:
    """Weights of a channel's readings of itself: the row above at once, then what is left, block by block."""

    def __init__(self, plan: ChannelPlan, number: int, dc: bool) -> None:
        self.dc = dc
        self.pairs: tuple[Pair, ...] = OWN_DC if dc else OWN
        self.centre, self.spread = [0] * len(self.pairs), [0] * len(self.pairs)
        for weights, taps in ((self.centre, plan.centre), (self.spread, plan.spread)):
            for tap in taps:
                if tap.source == number:
                    weights[tap.reading] += tap.weight

    def look(self, above: list[list[int]], centre: NDArray[np.int64], spread: NDArray[np.int64]) -> Look:
        """A function from x, w and ww to centre and spread of a block, given what other channels give."""
        if not above:
            return self._first_row(centre.tolist(), spread.tolist())
        n = np.array(above[-1], dtype=np.int64)
        places = {"n": n, "nn": np.array(above[0], dtype=np.int64)}
        places["nw"], places["ne"] = np.append(n[:1], n[:-1]), np.append(n[1:], n[-1:])
        for number, (first, second) in enumerate(self.pairs):
            if first in places and (not second or second in places):
                reading = places[first] - places[second] if second else places[first]
                centre = centre + self.centre[number] * reading
                spread = spread + self.spread[number] * np.abs(reading)
        known = places["n"].tolist(), places["nw"].tolist(), centre.tolist(), spread.tolist()
        return self._dc_row(*known) if self.dc else self._row(*known[2:])

    def _row(self, centre: list[int], spread: list[int]) -> Look:
        (c_w, *_, c_ww, _), (s_w, *_, s_ww, _) = self.centre, self.spread

        def look(x: int, w: int, ww: int) -> tuple[int, int]:
            return centre[x] + c_w * w + c_ww * ww, spread[x] + s_w * abs(w) + s_ww * abs(ww)

        return look

    def _dc_row(self, north: list[int], northwest: list[int], centre: list[int], spread: list[int]) -> Look:
        (c_nw, _, _, c_ww, _, c_n, c_med), (s_nw, _, _, s_ww, _, s_n, s_med) = self.centre, self.spread

        def look(x: int, w: int, ww: int) -> tuple[int, int]:
            n, nw = north[x], northwest[x]
            med = max(min(w + n - nw, max(w, n)), min(w, n))
            return (
                centre[x] + (med << SCALE_BITS)
                + c_nw * (w - nw) + c_ww * (w - ww) + c_n * (w - n) + c_med * (w - med),
                spread[x]
                + s_nw * abs(w - nw) + s_ww * abs(w - ww) + s_n * abs(w - n) + s_med * abs(w - med),
            )  # fmt: skip

        return look

    def _first_row(self, centre: list[int], spread: list[int]) -> Look:
        """All that is above the first row is w."""
        if self.dc:
            c_ww, s_ww = self.centre[3], self.spread[3]

            def look(x: int, w: int, ww: int) -> tuple[int, int]:
                return centre[x] + (w << SCALE_BITS) + c_ww * (w - ww), spread[x] + s_ww * abs(w - ww)

            return look
        c_ww, s_ww = self.centre[4], self.spread[4]
        c_w, s_w = sum(self.centre) - c_ww, sum(self.spread) - s_ww

        def look_ac(x: int, w: int, ww: int) -> tuple[int, int]:
            return centre[x] + c_w * w + c_ww * ww, spread[x] + s_w * abs(w) + s_ww * abs(ww)

        return look_ac
