"""Fitting the entropy coder's tables to sample images.

First each channel's features are chosen and weighed, then the numbers of each context are counted, and in the end
all contexts share a bank of tables. Floats are used here only; the result is integers, which device and server
then work with.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from overtone.frequency.channels import DC
from overtone.frequency.context import CONTEXTS, OFFSET_LEVELS, context, map_residual
from overtone.frequency.frequency_tables import (
    BITS,
    MAX_LENGTH,
    MAX_TABLES,
    Counts,
    Table,
    best_table,
    code_lengths,
)
from overtone.frequency.neighbours import causal_neighbours, feature_reader, features
from overtone.frequency.tables import EMPTY_BITS, MAX_FLOOR, MAX_LIFT, MAX_WEIGHT, NAMES, Tables
from overtone.training.table_regression import centre_weights, spread_weights

Ints = tuple[int, ...]
Floats = NDArray[np.floating]
Sample = tuple[NDArray[np.int16], NDArray[np.int16]]

CENTRE_TAPS: Final = 12
SPREAD_TAPS: Final = 12
OBSERVATIONS: Final = 40_000  # per channel, for the weights; the tables are counted on all samples
_SIZE: Final = 1024  # all numbers from here on are counted as this one
# How far away in frequency a channel of the same component may be for all its features to be considered, and for
# its value at the block to be considered.
_NEAR: Final = 2
_FAR: Final = 4


def fit_tables(
    samples: Sequence[Sample],
    steps: Sequence[Sequence[int]],
    low_channels: Sequence[int],
    high_channels: Sequence[int],
) -> Tables:
    """Tables that serve all qualities, from quantised sample images.

    Args:
        samples: for each quality, low int16[N, C, h, w] and high int16[N, D, h, w], quantised with its steps.
        steps: for each quality, the C + D steps.
        low_channels: the C channel indices of low.
        high_channels: the D channel indices of high.

    Raises:
        ValueError: a sample or a row of steps has another shape.
    """
    channels = (*low_channels, *high_channels)
    planes = _planes(samples, len(low_channels), len(high_channels))
    if len(steps) != len(planes) or any(len(row) != len(channels) for row in steps):
        raise ValueError(f"need a row of {len(channels)} steps for each of {len(planes)} qualities")
    forms = [_fit_channel(planes, steps, channels, number) for number in range(len(channels))]
    without_bank = Tables(
        bank=((1 << BITS - 1, 1 << BITS - 1),),
        contexts=(NAMES[0] * CONTEXTS,) * len(channels),
        centre=tuple(f.centre for f in forms),
        spread=tuple(f.spread for f in forms),
        base=tuple(f.base for f in forms),
        empty=tuple(_empty(sample) for sample in planes),
    )
    histograms = _count(planes, steps, channels, without_bank)
    bank, chosen = share(_filled(histograms))
    letters = "".join(NAMES[i] for i in chosen)
    contexts = tuple(letters[at : at + CONTEXTS] for at in range(0, len(letters), CONTEXTS))
    return Tables(
        bank, contexts, without_bank.centre, without_bank.spread, without_bank.base, without_bank.empty
    )


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
    """Weights of one channel's features, over all qualities."""
    candidates = _candidates(channels, number)
    target, values, inverse = _observe(planes, steps, channels, number, candidates)
    if not len(target):
        return _Form((), (), (0, 0, 16))
    centre = centre_weights(values, target, CENTRE_TAPS)
    expected = values @ centre
    # How far a DC is from zero says nothing about how well it is predicted.
    lifting = expected * (channels[number] not in DC)
    magnitudes = np.concatenate(
        [
            np.abs(values),
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
    """(source, feature) of everything that may help to predict a channel."""
    channel, found = channels[number], []
    for source, other in enumerate(channels[: number + 1]):
        dc = other in DC
        same = channel // 64 == other // 64
        apart = abs(channel % 64 // 8 - other % 64 // 8) + abs(channel % 8 - other % 8)
        count = len(features(source == number, dc))
        if (same and (apart <= _NEAR or dc)) or not apart:
            found += [(source, feature) for feature in range(count)]
        elif apart <= _FAR and not dc:
            found.append((source, 0))
    return found


def _observe(
    planes: Sequence[NDArray[np.int16]],
    steps: Sequence[Sequence[int]],
    channels: Ints,
    number: int,
    candidates: list[tuple[int, int]],
) -> tuple[Floats, Floats, Floats]:
    """Targets [n] and features [n, candidates] in steps of the channel, and one over its step [n]."""
    targets, values, inverse = [], [], []
    for sample, row in zip(planes, steps, strict=True):
        per_image = sample.shape[2] * sample.shape[3] * len(planes)
        stride = max(1, len(sample) * per_image // OBSERVATIONS)
        some = sample[::stride]
        some = some[some[:, number].any(axis=(1, 2))]
        if not len(some):
            continue
        base = causal_neighbours(some[:, number])["med"] if channels[number] in DC else 0
        targets.append((some[:, number] - base).ravel().astype(np.float32))
        columns = np.empty((targets[-1].size, len(candidates)), dtype=np.float32)
        readers = {s: feature_reader(some[:, s], s == number, channels[s] in DC) for s, _ in candidates}
        for column, (source, feature) in enumerate(candidates):
            columns[:, column] = readers[source](feature).ravel() * (row[source] / row[number])
        values.append(columns)
        inverse.append(np.full(len(columns), 1 / row[number], dtype=np.float32))
    if not targets:
        nothing = np.empty(0, np.float32)
        return nothing, nothing.reshape(0, len(candidates)), nothing
    return np.concatenate(targets), np.concatenate(values), np.concatenate(inverse)


def _taps(candidates: list[tuple[int, int]], weights: Floats) -> Ints:
    """Triples, one after another, of the weights that are not rounded to zero."""
    rounded = [max(-MAX_WEIGHT, min(MAX_WEIGHT, round(256 * float(w)))) for w in weights[: len(candidates)]]
    return tuple(
        x for (source, feature), w in zip(candidates, rounded, strict=True) if w for x in (source, feature, w)
    )


def _empty(planes: NDArray[np.int16]) -> Ints:
    """How often each channel is empty, in 256ths."""
    share = (~planes.any(axis=(2, 3))).mean(axis=0) * (1 << EMPTY_BITS)
    return tuple(max(1, min((1 << EMPTY_BITS) - 1, round(float(s)))) for s in share)


def _count(
    planes: Sequence[NDArray[np.int16]], steps: Sequence[Sequence[int]], channels: Ints, tables: Tables
) -> Counts:
    """Histograms of the numbers of all channels' contexts: float64[channels * contexts, numbers]."""
    counts = np.zeros((len(channels), CONTEXTS * _SIZE))
    for quality, (sample, row) in enumerate(zip(planes, steps, strict=True)):
        plan = tables.plan(channels, range(len(channels)), tuple(row), quality)
        for number, channel in enumerate(plan.channels):
            some = sample[sample[:, number].any(axis=(1, 2))]
            known = context(some, number, channel, plan.dc)
            numbers = np.minimum(map_residual(some[:, number], known), _SIZE - 1)
            flat = (known.number * _SIZE + numbers).ravel()
            counts[number] += np.bincount(flat, minlength=CONTEXTS * _SIZE)
    return counts.reshape(-1, _SIZE)


def _filled(histograms: Counts) -> Counts:
    """With half an observation in each context, spread as in all contexts of the same level of spread.

    A context that was hardly ever seen then gets a plausible table.
    """
    levels = np.arange(len(histograms)) % CONTEXTS // OFFSET_LEVELS
    pools = np.stack([histograms[levels == level].sum(axis=0) for level in range(CONTEXTS // OFFSET_LEVELS)])
    pools += 1e-3 * pools.sum(axis=0) / max(1.0, pools.sum()) + 1e-6 * (np.arange(_SIZE) < MAX_LENGTH)
    filled: Counts = histograms + 0.5 * (pools / pools.sum(axis=1, keepdims=True))[levels]
    return filled


def share(
    histograms: Counts, tables: int = MAX_TABLES, rounds: int = 12
) -> tuple[tuple[Table, ...], list[int]]:
    """A bank for many histograms float[n, size], and the number of the table that serves each histogram.

    This is Lloyd's algorithm with code length as the distance: the bank takes the fewest bits, up to a local
    optimum.
    """
    last = MAX_LENGTH - 1
    heads = np.append(histograms[:, :last], histograms[:, last:].sum(axis=1, keepdims=True), axis=1)
    chosen = _by_mean(histograms, tables)
    for _ in range(rounds):
        better = (heads @ _ideal_bits(heads, chosen).T).argmin(axis=1)
        if (better == chosen).all():
            break
        chosen = np.unique(better, return_inverse=True)[1].reshape(-1)
    bank = [best_table(histograms[chosen == k].sum(axis=0)) for k in range(int(chosen.max()) + 1)]
    cost = histograms @ np.stack([code_lengths(t, histograms.shape[1]) for t in bank]).T
    used, renumbered = np.unique(cost.argmin(axis=1), return_inverse=True)
    return tuple(bank[i] for i in used), renumbered.reshape(-1).tolist()


def _ideal_bits(heads: Counts, chosen: NDArray[np.int64]) -> Counts:
    """float64[tables, symbols]: the bits of each symbol, coded with the mean of the histograms of each table."""
    sums = np.zeros((int(chosen.max()) + 1, heads.shape[1]))
    np.add.at(sums, chosen, heads)
    sums += 1e-4 * sums.sum(axis=1, keepdims=True) + 1e-9
    return np.asarray(np.log2(sums.sum(axis=1, keepdims=True)) - np.log2(sums))


def _by_mean(histograms: Counts, tables: int) -> NDArray[np.int64]:
    """A first partition: histograms in the order of their means, cut into parts of about as many bits each."""
    total = histograms.sum(axis=1)
    mean = histograms @ np.arange(histograms.shape[1]) / np.maximum(total, 1e-9)
    order = np.argsort(mean, kind="stable")
    weight = np.sqrt(total * (mean + 0.01))[order].cumsum()
    chosen = np.empty(len(histograms), dtype=np.int64)
    chosen[order] = np.minimum((weight * tables / weight[-1]).astype(np.int64), tables - 1)
    return np.unique(chosen, return_inverse=True)[1].reshape(-1)
