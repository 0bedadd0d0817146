"""Frequency tables: the probabilities that the entropy coder works with, as integers.

A table of n entries describes n - 1 symbols, which stand for the numbers 0 to n - 2 (see
`context.map_residual`), and a last symbol, the escape, which stands for every number from n - 1 on. The entries
are positive integers that sum to 16384. All contexts of a layer share at most 93 tables,
called the bank.
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
MAX_TABLES: Final = 93
# After an escape, four bits say how many more bits follow.
ESCAPE_BITS: Final = 4


def freeze(weights: NDArray[np.integer] | NDArray[np.floating]) -> Table:
    """The table of integers that codes symbols of these positive weights in the fewest bits.

    Only IEEE additions, multiplications and divisions are used, so every machine finds the same table.

    Raises:
        ValueError: a weight that is not positive, or a number of weights outside 2 to 64.
    """
    w = np.asarray(weights, dtype=np.float64)
    if not MIN_LENGTH <= w.size <= MAX_LENGTH or not (w > 0).all():
        raise ValueError(f"need {MIN_LENGTH} to {MAX_LENGTH} positive weights")
    table = np.maximum(1, np.floor(w * (TOTAL / w.sum()))).astype(np.int64)
    # Raising an entry f by one saves w * log((f + 1) / f) ~ 2w / (2f + 1); lowering it costs ~ 2w / (2f - 1).
    while (missing := TOTAL - int(table.sum())) > 0:
        table[np.argmax(w / (2 * table + 1))] += 1
    while missing < 0:
        table[np.argmin(np.where(table > 1, w / (2 * table - 1), np.inf))] -= 1
        missing += 1
    return tuple(table.tolist())


def code_lengths(table: Table, size: int) -> NDArray[np.float64]:
    """float64[size]: the bits that each number from 0 to size - 1 takes with this table, escapes included."""
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
    return min(tables, key=lambda table: float(histogram @ code_lengths(table, histogram.size)))


def _weights(histogram: Counts, length: int) -> NDArray[np.float64]:
    values = length - 1
    return np.append(histogram[:values], histogram[values:].sum()) + 0.5
