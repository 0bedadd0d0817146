"""Contexts: the outputs of a channel's network for a block before it is coded, and the table that they select.

A weighted sum of the features (see `features`) predicts the value: it is the linear part of the `centre`, in 1024ths
of a step. A small network reads the codes of all features and of that sum, and has three outputs: a `shift` of the
centre, in units of the spread; the logarithm of the `spread`, the expected distance of the value from the centre;
and the `shape` of the distribution. Its hidden units are max(0, sum), in 16-bit arithmetic that wraps around.

What is coded is the residual, the difference from the integer nearest to the centre. Where the centre lies below that
integer, the residual's sign is flipped, so that the centre always lies on the positive side. A refinement codes the
residual from the coarse value instead, which is -1, 0 or 1. The context is one of 32 levels of the spread combined
with one of 3 shapes and with one of 6 levels of the distance between the centre and that integer; of 12 where values
are refined.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from overtone.frequency.coding_plan import ChannelPlan
from overtone.frequency.features import (
    CENTRE_PLACE,
    MAX_FEATURE,
    ONE,
    PLACES,
    SCALE_BITS,
    Wide,
    activity,
    causal,
    code,
    code_of,
    predicted,
    refined,
    surrounding,
)

LEVELS: Final = 32
SHAPES: Final = 3
OFFSET_LEVELS: Final = 6
REFINED_OFFSET_LEVELS: Final = 12
REFINED_OFFSET_BITS: Final = 7
LIMIT: Final = 1 << 24  # keeps a centre within int16
MAX_SHIFT: Final = 4 << SCALE_BITS
WEIGHT_BITS: Final = 5  # output weights are in 32nds
LEVEL_BITS: Final = 8  # four levels in a unit of the network's output
# The spread of each level in 1024ths of a step: 1024 exp(0.2 (level + 0.5) - 3.2).
SPREADS: Final = (
    46, 56, 69, 84, 103, 125, 153, 187, 228, 279, 341, 416, 508, 621, 758, 926,
    1132, 1382, 1688, 2062, 2518, 3076, 3757, 4589, 5605, 6846, 8361, 10213, 12474, 15235, 18609, 22728,
)  # fmt: skip

Planes = NDArray[np.int16]
Region = NDArray[np.bool_]


class Context(NamedTuple):
    """For each block: the number of its context, the integer nearest to the centre, and whether signs are flipped."""

    number: Wide
    nearest: Wide
    flipped: NDArray[np.bool_]


def contexts(refines: bool) -> int:
    """The number of contexts of a layer, which refines known values or not."""
    return LEVELS * SHAPES * (REFINED_OFFSET_LEVELS if refines else OFFSET_LEVELS)


def context(
    planes: Planes,
    number: int,
    plan: ChannelPlan,
    dc: tuple[bool, ...],
    coarse: Planes | None,
    region: Region | None = None,
) -> Context:
    """The contexts of all blocks of planes[number], of int16[..., P, h, w].

    Where the channel is refined, `coarse` int16[..., h, w] are its coarse values, in units of the fine ones. Only the
    blocks of `region` bool[h, w] are coded, all where it is None.
    """
    own = planes[..., number, :, :]
    found = features(planes, number, plan, dc, coarse)
    base: Wide = np.zeros(own.shape, np.int64)
    centre, hidden = base.copy(), other_sums(planes, number, plan, dc, coarse, region)
    if found:
        ratios = [plan.ratios[source] for source, _ in plan.taps]
        centre = linear_centre(found, plan.centre)
        hidden = hidden + tap_sums(found, ratios, plan.tap_weights)
    if coarse is not None:
        base = coarse.astype(np.int64)
        centre -= 0 if dc[number] else base << SCALE_BITS
    elif dc[number]:
        base = predicted(own)
    return decide(centre, hidden, base, plan, coarse is not None)


def features(
    planes: Planes, number: int, plan: ChannelPlan, dc: tuple[bool, ...], coarse: Planes | None
) -> list[Wide]:
    """The features int64[..., h, w] of all taps."""
    own = planes[..., number, :, :]
    readers = {s: surrounding(planes[..., s, :, :]) for s in {s for s, _ in plan.taps} - {number}}
    references = {s: read(CENTRE_PLACE) if dc[s] else 0 for s, read in readers.items()}
    if coarse is None:
        readers[number], references[number] = causal(own), predicted(own) if dc[number] else 0
    else:
        readers[number], references[number] = (
            refined(coarse, own),
            coarse.astype(np.int64) if dc[number] else 0,
        )
    found = []
    for source, place in plan.taps:
        feature = np.clip(readers[source](place) - references[source], -MAX_FEATURE, MAX_FEATURE)
        if source == number and coarse is None:
            feature[..., : -PLACES[place][0], :] *= PLACES[place][0] == 0
        found.append(feature)
    return found


def linear_centre(found: Sequence[Wide], weights: Sequence[int]) -> Wide:
    """The weighted sum of features int64[...]."""
    return sum((w * f for w, f in zip(weights, found, strict=True)), start=np.zeros_like(found[0]))


def tap_sums(found: Sequence[Wide], ratios: Sequence[int], weights: NDArray[np.int16]) -> Wide:
    """The contributions of T features int64[...] to the hidden units, int64[..., H]; weights are int16[T, 2, H]."""
    codes = [signed_code(feature, ratio) for feature, ratio in zip(found, ratios, strict=True)]
    return split_product(np.stack(codes, -1), weights)


def signed_code(feature: Wide, ratio: int) -> Wide:
    """The code of a feature with the feature's sign; `ratio` is 1024 times its unit over the channel's."""
    return np.sign(feature) * code(np.abs(feature) * ratio)


def split_product(codes: Wide, weights: NDArray[np.int16]) -> Wide:
    """Codes [..., T] times weights [T, 2, H], those for positive codes and those for negative ones."""
    both = np.concatenate([np.maximum(codes, 0), np.maximum(-codes, 0)], axis=-1).astype(np.float64)
    stacked = np.concatenate([weights[:, 0], weights[:, 1]]).astype(np.float64)
    # All these integers, and their sums, are small enough for float64 to be exact in any order.
    return (both @ stacked).astype(np.int64)


def other_sums(
    planes: Planes,
    number: int,
    plan: ChannelPlan,
    dc: tuple[bool, ...],
    coarse: Planes | None,
    region: Region | None = None,
) -> Wide:
    """The contributions of position and activity to the hidden units, and their bias: int64[..., h, w, H]."""
    *leading, _, height, width = planes.shape
    own = planes[..., number, :, :]
    row, column, above, *seen = plan.other_weights.astype(np.int64)
    found = plan.bias + np.multiply.outer(row_codes(height), row)[:, None, :]
    found = found + np.multiply.outer(column_codes(width), column)
    if coarse is None:
        before = np.cumsum(activity(own, dc[number]), axis=-1)[..., :-1]
        means = ONE * before // np.maximum(blocks_above(height, width, region)[1:], 1)
        codes = np.concatenate([np.zeros((*leading, 1), np.int64), code(means)], axis=-1)
        found = found + (codes[..., None] * above)[..., None, :]
    for source, weights in zip(plan.globals, seen, strict=True):
        plane = coarse if source == number and coarse is not None else planes[..., source, :, :]
        codes = activity_code(plane, plan.ratios[source], dc[source])
        found = found + (codes[..., None] * weights)[..., None, None, :]
    return np.broadcast_to(found, (*leading, height, width, plan.units))


def blocks_above(height: int, width: int, region: Region | None) -> Wide:
    """int64[h]: the number of blocks that are coded in the rows above each row."""
    rows = np.full(height, width) if region is None else region.sum(axis=1)
    above: Wide = np.cumsum(rows) - rows
    return above


def row_codes(height: int) -> Wide:
    """From 0 for the first row up to 63 for the last one."""
    return 64 * np.arange(height) // height


def column_codes(width: int) -> Wide:
    """From 0 in the middle up to 63 at the edges."""
    return 64 * np.abs(2 * np.arange(width) + 1 - width) // width


def activity_code(plane: Planes, ratio: int, dc: bool) -> Wide:
    """The code of the mean activity of planes [..., h, w]."""
    blocks = plane.shape[-1] * plane.shape[-2]
    return code(activity(plane, dc).sum(axis=-1) * ratio // blocks)


def decide(centre: Wide, hidden: Wide, base: Wide, plan: ChannelPlan, refines: bool) -> Context:
    """Contexts from the linear part of the centre, relative to `base`, and the sums int64[..., H] so far."""
    codes = np.sign(centre) * code(np.abs(centre))
    hidden = hidden + split_product(codes[..., None], plan.centre_weights[None])
    units = np.maximum(hidden.astype(np.int16), 0).astype(np.float64)
    outputs = (units @ plan.output_weights.T.astype(np.float64)).astype(np.int64) >> WEIGHT_BITS
    shift, spread, shape = np.moveaxis(outputs + plan.output_bias, -1, 0)
    level = np.clip(spread >> LEVEL_BITS, 0, LEVELS - 1)
    moved = np.clip(shift, -MAX_SHIFT, MAX_SHIFT) * np.array(SPREADS)[level] >> SCALE_BITS
    centre = np.clip(centre + moved, -LIMIT, LIMIT)
    shape = np.clip(shape >> SCALE_BITS, 0, SHAPES - 1)
    nearest: Wide = np.zeros_like(centre) if refines else centre + ONE // 2 >> SCALE_BITS
    offset = centre - (nearest << SCALE_BITS)
    away = np.abs(offset)
    if refines:
        offset_level = np.minimum(away >> REFINED_OFFSET_BITS, REFINED_OFFSET_LEVELS - 1)
    else:
        offset_level = np.minimum(away * OFFSET_LEVELS >> SCALE_BITS - 1, OFFSET_LEVELS - 1)
    count = REFINED_OFFSET_LEVELS if refines else OFFSET_LEVELS
    return Context((level * SHAPES + shape) * count + offset_level, base + nearest, offset < 0)


def decide_one(
    centre: int, hidden: Wide, base: int, plan: ChannelPlan, refines: bool
) -> tuple[int, int, bool]:
    """`decide` for one block, faster: the context's number, the nearest integer, and whether signs are flipped."""
    seen = code_of(abs(centre)) * plan.centre_weights[0 if centre > 0 else 1].astype(np.int64)
    units = np.maximum((hidden + seen).astype(np.int16), 0).astype(np.int64)
    shift, spread, shape = (
        (total >> WEIGHT_BITS) + bias
        for total, bias in zip((plan.output_weights @ units).tolist(), plan.output_bias, strict=True)
    )
    level = min(max(spread >> LEVEL_BITS, 0), LEVELS - 1)
    centre += min(max(shift, -MAX_SHIFT), MAX_SHIFT) * SPREADS[level] >> SCALE_BITS
    centre = min(max(centre, -LIMIT), LIMIT)
    nearest = 0 if refines else centre + ONE // 2 >> SCALE_BITS
    offset = centre - (nearest << SCALE_BITS)
    step, count = abs(offset) * OFFSET_LEVELS >> SCALE_BITS - 1, OFFSET_LEVELS
    if refines:
        step, count = abs(offset) >> REFINED_OFFSET_BITS, REFINED_OFFSET_LEVELS
    row = level * SHAPES + min(max(shape >> SCALE_BITS, 0), SHAPES - 1)
    return row * count + min(step, count - 1), base + nearest, offset < 0


def map_residual(plane: Planes, known: Context) -> Wide:
    """Residuals as numbers from 0 to 65535: 0, -1, 1, -2 ... become 0, 1, 2, 3 ...

    The numbers are small where the centre was a good prediction. Residuals wrap modulo 2^16, so any int16 can be
    coded.
    """
    residual = plane - known.nearest
    wrapped = np.where(known.flipped, -residual, residual).astype(np.int16).astype(np.int64)
    return np.where(wrapped < 0, -2 * wrapped - 1, 2 * wrapped)
