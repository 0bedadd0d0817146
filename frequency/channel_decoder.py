"""Decoding of one channel block by block, in numpy: the inverse of `stream.channel_intervals`."""

import numpy as np
from numpy.typing import NDArray

from overtone.frequency import rans
from overtone.frequency.coding_plan import CodingPlan
from overtone.frequency.context import (
    Region,
    blocks_above,
    decide_one,
    linear_centre,
    other_sums,
    tap_sums,
)
from overtone.frequency.errors import PayloadError
from overtone.frequency.features import (
    MAX_FEATURE,
    ONE,
    PLACES,
    REACH,
    SCALE_BITS,
    Wide,
    activity,
    code,
    code_of,
    med,
    padded_plane,
)

Planes = NDArray[np.int16]
_MAX_NUMBER = (1 << 16) - 1
# The code of every feature of the channel that is coded.
_CODES = code(np.arange(MAX_FEATURE + 1) << SCALE_BITS).tolist()


class ChannelDecoder:
    """Decodes one channel into its plane of int16[P, h, w].

    The contributions of other channels, and of a refined channel's coarse values, are added up for whole rows at once.
    Those of the blocks to the left are added block by block, as these are decoded. Blocks outside the region, where
    there is one, keep their values.
    """

    def __init__(
        self,
        planes: Planes,
        plan: CodingPlan,
        index: int,
        coarse: Planes | None,
        region: Region | None = None,
    ) -> None:
        self.plan, self.channel, self.coarse = plan, plan.channels[index], coarse
        self.number = plan.first + index
        self.dc = plan.dc[self.number]
        self.plane = planes[self.number]
        self.others = other_sums(planes, self.number, self.channel, plan.dc, coarse, region).copy()
        height, width = self.plane.shape
        self.above = blocks_above(height, width, region).tolist()
        self.columns = [
            range(width) if region is None else np.flatnonzero(region[y]).tolist() for y in range(height)
        ]
        self.padded = {s: padded_plane(planes[s]) for s in {s for s, _ in self.channel.taps}}
        # The channel that is coded; where it is refined, its coarse values until they are decoded.
        self.own = self.padded.get(self.number, padded_plane(self.plane))
        self.padded[self.number] = self.own
        # In a DC channel, all of its features depend on the block to the left, through the reference.
        self.late = [
            t for t, (source, place) in enumerate(self.channel.taps)
            if source == self.number
            and ((self.dc and coarse is None) or (PLACES[place][0] == 0 and PLACES[place][1] < 0))
        ]  # fmt: skip
        self.early = [t for t in range(len(self.channel.taps)) if t not in self.late]
        self.late_taps = [
            (
                *PLACES[self.channel.taps[t].place],
                self.channel.centre[t],
                self.channel.tap_weights[t].astype(np.int64),
            )
            for t in self.late
        ]

    def decode(self, decoder: rans.Decoder) -> None:
        """Read the channel from the stream.

        Raises:
            PayloadError: the stream is cut short or damaged.
        """
        height, seen = len(self.plane), 0
        for y in range(height):
            centre, hidden = self._row(y, seen)
            self._decode_row(decoder, y, centre, hidden)
            seen += int(activity(self.plane[y : y + 1], self.dc)[0])
        if (self.plane == (0 if self.coarse is None else self.coarse)).all():
            raise PayloadError("damaged payload: an empty channel is not marked as one")

    def _row(self, y: int, seen: int) -> tuple[Wide, Wide]:
        """The sums of a row's early features: the centre int64[w], and the hidden units int64[w, H]."""
        width = self.plane.shape[1]
        hidden = self.others[y]
        if self.coarse is None and y:
            above = code_of(ONE * seen // max(self.above[y], 1)) * self.channel.other_weights[2].astype(
                np.int64
            )
            hidden = hidden + above
        features = [self._feature(t, y, width) for t in self.early]
        centre = np.zeros(width, np.int64)
        if features:
            centre = linear_centre(features, [self.channel.centre[t] for t in self.early])
            ratios = [self.channel.ratios[self.channel.taps[t].source] for t in self.early]
            hidden = hidden + tap_sums(features, ratios, self.channel.tap_weights[self.early])
        return centre, hidden

    def _feature(self, tap: int, y: int, width: int) -> Wide:
        source, place = self.channel.taps[tap]
        down, right = PLACES[place]
        if source == self.number and self.coarse is None and y + down < 0:
            return np.zeros(width, np.int64)
        values = self.padded[source][REACH + y + down, REACH + right : REACH + right + width]
        if self.plan.dc[source]:
            values = values - self.padded[source][REACH + y, REACH : REACH + width]
        return np.clip(values, -MAX_FEATURE, MAX_FEATURE)

    def _decode_row(self, decoder: rans.Decoder, y: int, centre: Wide, hidden: Wide) -> None:
        row = self.own[REACH + y]
        if self.coarse is None:
            row[:REACH] = self.own[REACH + y - 1, REACH] if y else 0
        refines = self.coarse is not None
        for x in self.columns[y]:
            base = self._base(row, y, x)
            late, sums = self._late(y, x, base if self.dc else 0, hidden[x])
            total = int(centre[x]) + late - (base << SCALE_BITS if refines and not self.dc else 0)
            value = self._value(decoder, *decide_one(total, sums, base, self.channel, refines))
            row[REACH + x] = self.plane[y, x] = value
        if self.coarse is None:
            row[:REACH], row[-REACH:] = row[REACH], row[-REACH - 1]

    def _base(self, row: Wide, y: int, x: int) -> int:
        if self.coarse is not None:
            return int(self.coarse[y, x])
        if not self.dc:
            return 0
        w, above = row[REACH + x - 1], self.own[REACH + y - 1]
        return int(med(w, above[REACH + x], above[REACH + x - 1])) if y else int(w)

    def _late(self, y: int, x: int, reference: int, sums: Wide) -> tuple[int, Wide]:
        """The contribution of the late features to the centre, and the hidden units' sums with theirs."""
        centre = 0
        for down, right, weight, (positive, negative) in self.late_taps:
            if self.coarse is None and y + down < 0:
                continue
            value = int(self.own[REACH + y + down, REACH + x + right]) - reference
            feature = min(max(value, -MAX_FEATURE), MAX_FEATURE)
            if feature:
                centre += weight * feature
                sums = sums + _CODES[abs(feature)] * (positive if feature > 0 else negative)
        return centre, sums

    def _value(self, decoder: rans.Decoder, context: int, nearest: int, flipped: bool) -> int:
        model = self.plan.models[self.plan.contexts[context]]
        number = decoder.symbol(model)
        if self.coarse is None and number == len(model.starts) - 1:
            number += decoder.excess()
            if number > _MAX_NUMBER:
                raise PayloadError("damaged payload: a value does not fit sixteen bits")
        residual = -(number + 1 >> 1) if number & 1 else number >> 1
        value = nearest - residual if flipped else nearest + residual
        return (value + 0x8000 & 0xFFFF) - 0x8000
