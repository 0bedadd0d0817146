"""The body of a payload in numpy: the channels of a layer, one after another, as rANS intervals.

Each channel begins with a flag for the case that it is empty: that it holds nothing but zeros, or nothing but its
coarse values. If it is not empty, all its blocks follow in raster order, or those of a
region, bool[h, w]: outside of it, values stay 0, or coarse. `coder.c` does the same in C.
"""

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from overtone.frequency import rans
from overtone.frequency.channel_decoder import ChannelDecoder
from overtone.frequency.coding_plan import CodingPlan, Model
from overtone.frequency.context import Region, context, map_residual
from overtone.frequency.errors import PayloadError
from overtone.frequency.frequency_tables import BITS, TOTAL
from overtone.frequency.ladder import NEST

Intervals = NDArray[np.int64]
Planes = NDArray[np.int16]

# A symbol, the length of an escape, and the escape's two pieces take at most a word each.
_MAX_BYTES_PER_BLOCK: Final = 2 * 4


def encode_layer(
    known: Planes, coded: Planes, plan: CodingPlan, check: int, region: Region | None = None
) -> bytes:
    """The body that codes a layer; see `coder.encode_layer`."""
    found = [channel_intervals(known, coded, plan, number, region) for number in range(len(coded))]
    intervals = np.concatenate(found)
    return rans.encode(intervals[:, 0], intervals[:, 1], check)


def decode_layer(
    body: bytes, known: Planes, plan: CodingPlan, region: Region | None = None
) -> tuple[Planes, int]:
    """The inverse of `encode_layer`: the layer's channels int16[C, h, w], and the check.

    Raises:
        PayloadError: `encode_layer` cannot have written this.
    """
    _, height, width = known.shape
    blocks = height * width if region is None else int(region.sum())
    if len(body) > max_body_bytes(len(plan.channels), blocks):
        raise PayloadError("damaged payload: too long for its layer")
    decoder = rans.Decoder(body)
    planes, coarse = all_planes(known, None, plan)
    for number, channel in enumerate(plan.channels):
        flag = Model((channel.empty, TOTAL - channel.empty), (0, channel.empty))
        if decoder.symbol(flag):
            base = None if coarse is None else coarse[number]
            ChannelDecoder(planes, plan, number, base, region).decode(decoder)
    return planes[plan.first : plan.first + len(plan.channels)], decoder.finish()


def max_body_bytes(channels: int, blocks: int) -> int:
    """The largest number of bytes that `encode_layer` can write for so many channels and blocks."""
    return rans.STATE_BYTES + 2 * channels + _MAX_BYTES_PER_BLOCK * channels * blocks


def all_planes(known: Planes, coded: Planes | None, plan: CodingPlan) -> tuple[Planes, Planes | None]:
    """All planes int16[..., P, h, w], with those that the layer codes; and where it refines, its coarse values."""
    *leading, _, height, width = known.shape
    planes = np.zeros((*leading, plan.planes, height, width), np.int16)
    planes[..., : plan.known, :, :] = known
    own = planes[..., plan.first : plan.first + len(plan.channels), :, :]
    coarse = None
    if plan.refines:
        own *= np.int16(NEST)
        coarse = own.copy()
    if coded is not None:
        own[...] = coded
    return planes, coarse


def channel_intervals(
    known: Planes, coded: Planes, plan: CodingPlan, index: int, region: Region | None = None
) -> Intervals:
    """int64[n, 2]: frequencies and starts of the layer's channel `index`, in the order of decoding."""
    channel = plan.channels[index]
    planes, coarse = all_planes(known, coded, plan)
    base = None if coarse is None else coarse[index]
    changed = coded[index] != (0 if base is None else base)
    if not changed.any():
        return np.array([[channel.empty, 0]])
    inside = np.ones_like(changed) if region is None else region
    if (changed & ~inside).any():
        raise ValueError("a value outside the region is not the one that is known")
    # A channel sees those that follow it in the layer as they were before.
    seen = _while_coding(planes, coarse, plan, index)
    found = context(seen, plan.first + index, channel, plan.dc, base, region)
    numbers = map_residual(coded[index], found)[inside]
    frequencies, starts, escapes = _matrices(plan.bank)
    tables = np.array(plan.contexts)[found.number[inside]]
    symbols = np.minimum(numbers, escapes[tables])
    intervals = np.stack([frequencies[tables, symbols], starts[tables, symbols]], axis=1)
    flag = [[TOTAL - channel.empty, channel.empty]]
    if base is not None:
        if numbers.max() >= NEST:
            raise ValueError("a value is not next to its coarse one")
        return np.concatenate([flag, intervals])
    return np.concatenate([flag, _with_escapes(intervals, numbers, escapes[tables])])


def channel_bits(known: Planes, coded: Planes, plan: CodingPlan) -> NDArray[np.float64]:
    """float64[n]: the bits that each of the layer's channels takes in a body, flags and escapes included.

    The body has as many bits as their sum and a few more: half a checksum, and the rounding to whole words.
    """
    found = [channel_intervals(known, coded, plan, number)[:, 0] for number in range(len(coded))]
    return np.array([(BITS - np.log2(frequencies)).sum() for frequencies in found])


def _while_coding(planes: Planes, coarse: Planes | None, plan: CodingPlan, index: int) -> Planes:
    if coarse is None:
        return planes
    seen = planes.copy()
    later = slice(plan.first + index + 1, plan.first + len(plan.channels))
    seen[later] = coarse[index + 1 :]
    return seen


def _with_escapes(intervals: Intervals, numbers: NDArray[np.int64], escapes: NDArray[np.int64]) -> Intervals:
    """The intervals with the excess of every number after its escape; `escapes` has the escape's symbol for each."""
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
