"""The body of a payload: the channels of a band, one after another, as rANS intervals. In numpy.

Each channel begins with a flag that says whether it is empty, that is, whether it holds nothing but zeros. If it
is not, all its blocks follow in raster order. `_coder.c` does the same in C.
"""

from bisect import bisect_right
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from overtone.frequency import rans
from overtone.frequency.coding_plan import ChannelPlan, CodingPlan, Model
from overtone.frequency.context import (
    LIFT_BITS,
    LIMIT,
    OFFSET_LEVELS,
    OFFSETS,
    ONE,
    SCALE_BITS,
    SPREADS,
    context,
    map_residual,
    weighted_sums,
)
from overtone.frequency.errors import PayloadError
from overtone.frequency.frequency_tables import BITS, TOTAL
from overtone.frequency.neighbours import CAUSAL, CAUSAL_DC, Feature

Intervals = NDArray[np.int64]
# From the column of a block and its neighbours w and ww to its centre and spread.
Predict = Callable[[int, int, int], tuple[int, int]]

MAX_NUMBER: Final = (1 << 16) - 1
# A symbol, the length of an escape, and the escape's two pieces take at most a word each.
_MAX_BYTES_PER_BLOCK: Final = 2 * 4


def encode_band(planes: NDArray[np.int16], plan: CodingPlan, check: int) -> bytes:
    """The body that codes the plan's channels, which are the last of int16[C, h, w]; see `coder.encode_band`."""
    found = [channel_intervals(planes, plan, number) for number in range(plan.first, len(planes))]
    intervals = np.concatenate(found)
    return rans.encode(intervals[:, 0], intervals[:, 1], check)


def decode_band(body: bytes, known: NDArray[np.int16], plan: CodingPlan) -> tuple[NDArray[np.int16], int]:
    """The inverse of `encode_band`: the plan's channels int16[C, h, w], and the check.

    Raises:
        PayloadError: `encode_band` cannot have written this.
    """
    _, height, width = known.shape
    if len(body) > max_body_bytes(len(plan.channels), height * width):
        raise PayloadError("damaged payload: too long for its band")
    decoder = rans.Decoder(body)
    planes = np.concatenate([known, np.zeros((len(plan.channels), height, width), np.int16)])
    for number in range(plan.first, len(planes)):
        _decode_channel(decoder, planes, plan, number)
    return planes[plan.first :], decoder.finish()


def max_body_bytes(channels: int, blocks: int) -> int:
    """The most bytes that `encode_band` can write for so many channels of so many blocks."""
    return rans.STATE_BYTES + 2 * channels + _MAX_BYTES_PER_BLOCK * channels * blocks


def channel_intervals(planes: NDArray[np.int16], plan: CodingPlan, number: int) -> Intervals:
    """int64[n, 2]: frequencies and starts of one channel of int16[C, h, w], in the order of decoding."""
    channel = plan.channels[number - plan.first]
    if not planes[number].any():
        return np.array([[channel.empty, 0]])
    known = context(planes, number, channel, plan.dc)
    numbers = map_residual(planes[number], known).ravel()
    frequencies, starts, escapes = _matrices(plan.bank)
    tables = np.array(channel.tables)[known.number.ravel()]
    symbols = np.minimum(numbers, escapes[tables])
    intervals = np.stack([frequencies[tables, symbols], starts[tables, symbols]], axis=1)
    flag = [[TOTAL - channel.empty, channel.empty]]
    return np.concatenate([flag, _with_escapes(intervals, numbers, escapes[tables])])


def channel_bits(planes: NDArray[np.int16], plan: CodingPlan) -> NDArray[np.float64]:
    """float64[n]: the bits that each of the plan's channels takes in a body, flags and escapes included.

    The body has as many bits as their sum and a few more: half a checksum, and the rounding to whole words.
    """
    found = [channel_intervals(planes, plan, number)[:, 0] for number in range(plan.first, len(planes))]
    return np.array([(BITS - np.log2(frequencies)).sum() for frequencies in found])


def _with_escapes(intervals: Intervals, numbers: NDArray[np.int64], escapes: NDArray[np.int64]) -> Intervals:
    """With the excess of every number that is coded by its table's escape, whose number `escapes` holds."""
    at = np.flatnonzero(numbers >= escapes)
    excesses = [rans.escape(int(numbers[i] - escapes[i])) for i in at]
    after = np.repeat(at + 1, [len(e) for e in excesses])
    flat = [interval for e in excesses for interval in e]
    return np.insert(intervals, after, flat, axis=0) if flat else intervals


@lru_cache(maxsize=16)
def _matrices(bank: tuple[tuple[int, ...], ...]) -> tuple[Intervals, Intervals, NDArray[np.int64]]:
    """Frequencies and starts by table and symbol, and the number of each table's escape."""
    frequencies = np.zeros((len(bank), max(map(len, bank))), dtype=np.int64)
    for row, table in enumerate(bank):
        frequencies[row, : len(table)] = table
    starts = np.cumsum(frequencies, axis=1) - frequencies
    return frequencies, starts, np.array([len(table) - 1 for table in bank])


def _decode_channel(decoder: rans.Decoder, planes: NDArray[np.int16], plan: CodingPlan, number: int) -> None:
    channel = plan.channels[number - plan.first]
    flag = Model((channel.empty, TOTAL - channel.empty), (0, channel.empty))
    if not decoder.symbol(flag):
        return
    centre, spread = weighted_sums(planes, number, channel, plan.dc, own=False)
    models = [plan.models[i] for i in channel.tables]
    predictor = _Predictor(channel, number, plan.dc[number])
    plane, width = planes[number], planes.shape[2]
    rows: list[list[int]] = []
    for y in range(planes.shape[1]):
        predict = predictor.for_row(rows[-2:], centre[y], spread[y] + channel.floor)
        before = rows[-1][0] if rows else 0
        rows.append(_decode_row(decoder, models, channel.lift, predict, before, width))
    plane[:] = rows
    if not plane.any():
        raise PayloadError("damaged payload: an empty channel is not marked as one")


def _decode_row(
    decoder: rans.Decoder, models: list[Model], lift: int, predict: Predict, before: int, width: int
) -> list[int]:
    """The values of a row; `before` stands twice to the left of it."""
    row, w, ww = [], before, before
    for x in range(width):
        centre, spread = predict(x, w, ww)
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
        residual = -(number + 1 >> 1) if number & 1 else number >> 1
        value = nearest - residual if offset < 0 else nearest + residual
        ww, w = w, (value + 0x8000 & 0xFFFF) - 0x8000
        row.append(w)
    return row


class _Predictor:
    """Centres and spreads of the channel being decoded.

    What the rows above say is added up for a whole row at once; what the blocks to the left say is added block by
    block, as they are decoded.
    """

    def __init__(self, plan: ChannelPlan, number: int, dc: bool) -> None:
        self.dc = dc
        self.features: tuple[Feature, ...] = CAUSAL_DC if dc else CAUSAL
        self.centre, self.spread = [0] * len(self.features), [0] * len(self.features)
        for weights, taps in ((self.centre, plan.centre), (self.spread, plan.spread)):
            for tap in taps:
                if tap.source == number:
                    weights[tap.feature] += tap.weight

    def for_row(
        self, above: list[list[int]], centre: NDArray[np.int64], spread: NDArray[np.int64]
    ) -> Predict:
        """A predictor of the blocks of a row, from up to two rows above and the sums over other channels."""
        if not above:
            return self._first_row(centre.tolist(), spread.tolist())
        n = np.array(above[-1], dtype=np.int64)
        values = {"n": n, "nn": np.array(above[0], dtype=np.int64)}
        values["nw"], values["ne"] = np.append(n[:1], n[:-1]), np.append(n[1:], n[-1:])
        for number, (first, second) in enumerate(self.features):
            if first in values and (not second or second in values):
                feature = values[first] - values[second] if second else values[first]
                centre = centre + self.centre[number] * feature
                spread = spread + self.spread[number] * np.abs(feature)
        known = values["n"].tolist(), values["nw"].tolist(), centre.tolist(), spread.tolist()
        return self._dc_row(*known) if self.dc else self._row(*known[2:])

    def _row(self, centre: list[int], spread: list[int]) -> Predict:
        (c_w, *_, c_ww, _), (s_w, *_, s_ww, _) = self.centre, self.spread

        def predict(x: int, w: int, ww: int) -> tuple[int, int]:
            return centre[x] + c_w * w + c_ww * ww, spread[x] + s_w * abs(w) + s_ww * abs(ww)

        return predict

    def _dc_row(
        self, north: list[int], northwest: list[int], centre: list[int], spread: list[int]
    ) -> Predict:
        (c_nw, _, _, c_ww, _, c_n, c_med), (s_nw, _, _, s_ww, _, s_n, s_med) = self.centre, self.spread

        def predict(x: int, w: int, ww: int) -> tuple[int, int]:
            n, nw = north[x], northwest[x]
            med = max(min(w + n - nw, max(w, n)), min(w, n))
            return (
                centre[x] + (med << SCALE_BITS)
                + c_nw * (w - nw) + c_ww * (w - ww) + c_n * (w - n) + c_med * (w - med),
                spread[x]
                + s_nw * abs(w - nw) + s_ww * abs(w - ww) + s_n * abs(w - n) + s_med * abs(w - med),
            )  # fmt: skip

        return predict

    def _first_row(self, centre: list[int], spread: list[int]) -> Predict:
        """In the first row, w stands for every neighbour above."""
        if self.dc:
            c_ww, s_ww = self.centre[3], self.spread[3]

            def predict_dc(x: int, w: int, ww: int) -> tuple[int, int]:
                return centre[x] + (w << SCALE_BITS) + c_ww * (w - ww), spread[x] + s_ww * abs(w - ww)

            return predict_dc
        c_ww, s_ww = self.centre[4], self.spread[4]
        c_w, s_w = sum(self.centre) - c_ww, sum(self.spread) - s_ww

        def predict(x: int, w: int, ww: int) -> tuple[int, int]:
            return centre[x] + c_w * w + c_ww * ww, spread[x] + s_w * abs(w) + s_ww * abs(ww)

        return predict
