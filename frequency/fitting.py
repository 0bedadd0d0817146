"""Fitting tables to sample pictures: which readings to weigh and how, then counting, then one bank for all.

Floats are used here, once, by whoever trains; what comes out are the integers both ends then work with.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from overtone.frequency.bank import BITS, MAX_LENGTH, Counts, share
from overtone.frequency.channels import DC
from overtone.frequency.context import CONTEXTS, OFFSET_LEVELS, fold, sight
from overtone.frequency.reading import own_places, pairs, reader
from overtone.frequency.regression import centre_weights, spread_weights
from overtone.frequency.tables import EMPTY_BITS, MAX_FLOOR, MAX_LIFT, MAX_WEIGHT, NAMES, Tables

Ints = tuple[int, ...]
Floats = NDArray[np.floating]
Sample = tuple[NDArray[np.int16], NDArray[np.int16]]

CENTRE_TAPS: Final = 12
SPREAD_TAPS: Final = 12
OBSERVATIONS: Final = 40_000  # of each channel, for the weights; tables are counted on all there is
_SIZE: Final = 1024  # numbers from here on are counted as one
# How many luma or chroma frequencies away a channel is still read around the block, and at the block.
_AROUND: Final = 2
_AT_ALL: Final = 4


def fit_tables(
    samples: Sequence[Sample],
    steps: Sequence[Sequence[int]],
    low_channels: Sequence[int],
    high_channels: Sequence[int],
) -> Tables:
    """Tables for all qualities at once, from quantised sample pictures.

    Args:
        samples: for each quality low int16[N, C, h, w] and high int16[N, D, h, w], quantised with its steps.
        steps: for each quality the C + D steps.
        low_channels: the C channel indices of low.
        high_channels: the D channel indices of high.
    """
    channels = (*low_channels, *high_channels)
    planes = _planes(samples, len(low_channels), len(high_channels))
    if len(steps) != len(planes) or any(len(row) != len(channels) for row in steps):
        raise ValueError(f"need a row of {len(channels)} steps for each of {len(planes)} qualities")
    forms = [_fit_channel(planes, steps, channels, number) for number in range(len(channels))]
    unnamed = Tables(
        bank=((1 << BITS - 1, 1 << BITS - 1),),
        contexts=(NAMES[0] * CONTEXTS,) * len(channels),
        centre=tuple(f.centre for f in forms),
        spread=tuple(f.spread for f in forms),
        base=tuple(f.base for f in forms),
        empty=tuple(_empty(sample) for sample in planes),
    )
    histograms = _count(planes, steps, channels, unnamed)
    bank, chosen = share(_filled(histograms))
    letters = "".join(NAMES[i] for i in chosen)
    contexts = tuple(letters[at : at + CONTEXTS] for at in range(0, len(letters), CONTEXTS))
    return Tables(bank, contexts, unnamed.centre, unnamed.spread, unnamed.base, unnamed.empty)


class _Form(NamedTuple):
    centre: Ints
    spread: Ints
    base: Ints


def _planes(samples: Sequence[Sample], low: int, high: int) -> list[NDArray[np.int16]]:
    found = []
    for pair in samples:
        for band, count in zip(pair, (low, high), strict=True):
            if band.ndim != 4 or band.shape[1] != count or not band.size:
                raise ValueError(f"need int16[N, {count}, h, w] with N >= 1, got {list(band.shape)}")
        found.append(np.concatenate(pair, axis=1))
    if not found:
        raise ValueError("need samples of at least one quality")
    return found


def _fit_channel(
    planes: Sequence[NDArray[np.int16]], steps: Sequence[Sequence[int]], channels: Ints, number: int
) -> _Form:
    """Weights of one channel's readings, over all qualities."""
    candidates = _candidates(channels, number)
    target, readings, inverse = _observe(planes, steps, channels, number, candidates)
    if not len(target):
        return _Form((), (), (0, 0, 16))
    centre = centre_weights(readings, target, CENTRE_TAPS)
    expected = readings @ centre
    # How far a DC is from zero says nothing of how well it is expected.
    lifting = expected * (channels[number] not in DC)
    magnitudes = np.concatenate(
        [
            np.abs(readings),
            np.abs(lifting)[:, None],
            np.ones((len(target), 1), np.float32),
            inverse[:, None],
        ],
        axis=1,
    )
    spread = spread_weights(magnitudes, np.abs(target - expected), SPREAD_TAPS, keep=3)
    lift, floor, noise = spread[-3] * 64, spread[-2] * 1024, spread[-1] * 16
    limits = (MAX_LIFT, MAX_FLOOR, MAX_FLOOR)
    base = tuple(min(round(float(v)), most) for v, most in zip((lift, floor, noise), limits, strict=True))
    return _Form(_taps(candidates, centre), _taps(candidates, spread), base)


def _candidates(channels: Ints, number: int) -> list[tuple[int, int]]:
    """(source, reading) of all that may say something of a channel."""
    channel, found = channels[number], []
    for source, other in enumerate(channels[: number + 1]):
        dc = other in DC
        same = channel // 64 == other // 64
        apart = abs(channel % 64 // 8 - other % 64 // 8) + abs(channel % 8 - other % 8)
        count = len(pairs(source == number, dc))
        if (same and (apart <= _AROUND or dc)) or not apart:
            found += [(source, reading) for reading in range(count)]
        elif apart <= _AT_ALL and not dc:
            found.append((source, 0))
    return found


def _observe(
    planes: Sequence[NDArray[np.int16]],
    steps: Sequence[Sequence[int]],
    channels: Ints,
    number: int,
    candidates: list[tuple[int, int]],
) -> tuple[Floats, Floats, Floats]:
    """Targets [n], readings [n, candidates] in steps of the channel, and one over its step [n]."""
    targets, readings, inverse = [], [], []
    for sample, row in zip(planes, steps, strict=True):
        per_picture = sample.shape[2] * sample.shape[3] * len(planes)
        stride = max(1, len(sample) * per_picture // OBSERVATIONS)
        some = sample[::stride]
        some = some[some[:, number].any(axis=(1, 2))]
        if not len(some):
            continue
        base = own_places(some[:, number])["med"] if channels[number] in DC else 0
        targets.append((some[:, number] - base).ravel().astype(np.float32))
        columns = np.empty((targets[-1].size, len(candidates)), dtype=np.float32)
        readers = {s: reader(some[:, s], s == number, channels[s] in DC) for s, _ in candidates}
        for column, (source, reading) in enumerate(candidates):
            columns[:, column] = readers[source](reading).ravel() * (row[source] / row[number])
        readings.append(columns)
        inverse.append(np.full(len(columns), 1 / row[number], dtype=np.float32))
    if not targets:
        nothing = np.empty(0, np.float32)
        return nothing, nothing.reshape(0, len(candidates)), nothing
    return np.concatenate(targets), np.concatenate(readings), np.concatenate(inverse)


def _taps(candidates: list[tuple[int, int]], weights: Floats) -> Ints:
    """Flat triples of the weights that do not vanish."""
    rounded = [max(-MAX_WEIGHT, min(MAX_WEIGHT, round(256 * float(w)))) for w in weights[: len(candidates)]]
    return tuple(
        x for (source, reading), w in zip(candidates, rounded, strict=True) if w for x in (source, reading, w)
    )


def _empty(planes: NDArray[np.int16]) -> Ints:
    """How often each channel is empty, in 256ths."""
    share = (~planes.any(axis=(2, 3))).mean(axis=0) * (1 << EMPTY_BITS)
    return tuple(max(1, min((1 << EMPTY_BITS) - 1, round(float(s)))) for s in share)


def _count(
    planes: Sequence[NDArray[np.int16]], steps: Sequence[Sequence[int]], channels: Ints, tables: Tables
) -> Counts:
    """Numbers of all channels' contexts: float64[channels * contexts, numbers]."""
    counts = np.zeros((len(channels), CONTEXTS * _SIZE))
    for quality, (sample, row) in enumerate(zip(planes, steps, strict=True)):
        plan = tables.plan(channels, range(len(channels)), tuple(row), quality)
        for number, channel in enumerate(plan.channels):
            some = sample[sample[:, number].any(axis=(1, 2))]
            seen = sight(some, number, channel, plan.dc)
            numbers = np.minimum(fold(some[:, number], seen), _SIZE - 1)
            flat = (seen.context * _SIZE + numbers).ravel()
            counts[number] += np.bincount(flat, minlength=CONTEXTS * _SIZE)
    return counts.reshape(-1, _SIZE)


def _filled(histograms: Counts) -> Counts:
    """Rare contexts lean on what the same level of spread shows in other channels."""
    levels = np.arange(len(histograms)) % CONTEXTS // OFFSET_LEVELS
    pools = np.stack([histograms[levels == level].sum(axis=0) for level in range(CONTEXTS // OFFSET_LEVELS)])
    pools += 1e-3 * pools.sum(axis=0) / max(1.0, pools.sum()) + 1e-6 * (np.arange(_SIZE) < MAX_LENGTH)
    filled: Counts = histograms + 0.5 * (pools / pools.sum(axis=1, keepdims=True))[levels]
    return filled
