"""The bank: a few frequency tables that all contexts of all channels and qualities share.

A table of length n stands for n - 1 value symbols, the numbers 0 to n - 2 of `context.fold`, and a last
symbol, the escape, for all numbers from n - 1 on. Its entries are how likely each is, as integers that sum to
16384.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Table = tuple[int, ...]
Counts = NDArray[np.floating]

BITS: Final = 14
TOTAL: Final = 1 << BITS
MIN_LENGTH: Final = 2
MAX_LENGTH: Final = 64
MAX_TABLES: Final = 64
# An escape is followed by four bits that say how many more follow.
ESCAPE_BITS: Final = 4


def freeze(weights: NDArray[np.integer] | NDArray[np.floating]) -> Table:
    """Integers >= 1 that sum to 16384 and code symbols of these positive weights in the fewest bits.

    Only IEEE additions, multiplications and divisions are used, so every machine finds the same table.
    """
    w = np.asarray(weights, dtype=np.float64)
    if not MIN_LENGTH <= w.size <= MAX_LENGTH or not (w > 0).all():
        raise ValueError(f"need {MIN_LENGTH} to {MAX_LENGTH} positive weights")
    table = np.maximum(1, np.floor(w * (TOTAL / w.sum()))).astype(np.int64)
    # One more slot saves w * log((f + 1) / f) ~ 2w / (2f + 1); one less costs ~ 2w / (2f - 1).
    while (missing := TOTAL - int(table.sum())) > 0:
        table[np.argmax(w / (2 * table + 1))] += 1
    while missing < 0:
        table[np.argmin(np.where(table > 1, w / (2 * table - 1), np.inf))] -= 1
        missing += 1
    return tuple(table.tolist())


def bits(table: Table, size: int) -> NDArray[np.float64]:
    """float64[size]: what each number from 0 on costs with this table, escapes included."""
    n = np.arange(size)
    last = len(table) - 1
    cost = BITS - np.log2(np.array(table, dtype=np.float64))
    excess = np.maximum(n - last, 0) + 1
    escape = ESCAPE_BITS + np.floor(np.log2(excess))
    return np.where(n < last, cost[np.minimum(n, last)], cost[last] + escape)


def best_table(histogram: Counts) -> Table:
    """The table, of any length, that codes this histogram of numbers in the fewest bits."""
    seen = np.flatnonzero(histogram)
    longest = min(MAX_LENGTH, int(seen[-1]) + 2 if seen.size else MIN_LENGTH)
    lengths = sorted({*range(MIN_LENGTH, min(longest, 12) + 1), *range(12, longest + 1, 4), longest})
    tables = [freeze(_weights(histogram, n)) for n in lengths]
    return min(tables, key=lambda table: float(histogram @ bits(table, histogram.size)))


def share(
    histograms: Counts, tables: int = MAX_TABLES, rounds: int = 12
) -> tuple[tuple[Table, ...], list[int]]:
    """A bank for many histograms float[n, size], and which of its tables serves each: Lloyd's algorithm.

    The distance is code length, so the bank is the one whose bits are fewest, up to a local optimum.
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
    cost = histograms @ np.stack([bits(t, histograms.shape[1]) for t in bank]).T
    used, renumbered = np.unique(cost.argmin(axis=1), return_inverse=True)
    return tuple(bank[i] for i in used), renumbered.reshape(-1).tolist()


def _ideal_bits(heads: Counts, chosen: NDArray[np.int64]) -> Counts:
    """float64[tables, symbols]: what each symbol costs with the mean of each table's histograms."""
    sums = np.zeros((int(chosen.max()) + 1, heads.shape[1]))
    np.add.at(sums, chosen, heads)
    sums += 1e-4 * sums.sum(axis=1, keepdims=True) + 1e-9
    return np.asarray(np.log2(sums.sum(axis=1, keepdims=True)) - np.log2(sums))


def _by_mean(histograms: Counts, tables: int) -> NDArray[np.int64]:
    """A first partition: equal shares of all bits, in the order of the mean number."""
    total = histograms.sum(axis=1)
    mean = histograms @ np.arange(histograms.shape[1]) / np.maximum(total, 1e-9)
    order = np.argsort(mean, kind="stable")
    weight = np.sqrt(total * (mean + 0.01))[order].cumsum()
    chosen = np.empty(len(histograms), dtype=np.int64)
    chosen[order] = np.minimum((weight * tables / weight[-1]).astype(np.int64), tables - 1)
    return np.unique(chosen, return_inverse=True)[1].reshape(-1)


def _weights(histogram: Counts, length: int) -> NDArray[np.float64]:
    values = length - 1
    return np.append(histogram[:values], histogram[values:].sum()) + 0.5
