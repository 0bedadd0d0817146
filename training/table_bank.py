"""Clustering of histograms, so that few frequency tables serve many contexts of the entropy coder."""

import numpy as np
from numpy.typing import NDArray

from overtone.frequency.frequency_tables import (
    BITS,
    MAX_LENGTH,
    MAX_TABLES,
    Counts,
    Table,
    best_table,
    code_lengths,
    freeze,
)


def fit_bank(
    histograms: Counts, tables: int = MAX_TABLES, rounds: int = 12, length: int | None = None
) -> tuple[tuple[Table, ...], list[int]]:
    """A bank of tables for many histograms float[n, size], and the index of each histogram's table.

    This is Lloyd's algorithm with code length as the distance: the bank takes the fewest bits, up to a local
    optimum. Tables of a fixed length have no escape.
    """
    last = length or MAX_LENGTH - 1
    heads = histograms[:, :last]
    if length is None:
        heads = np.append(heads, histograms[:, last:].sum(axis=1, keepdims=True), axis=1)
    chosen = _by_mean(histograms, tables)
    for _ in range(rounds):
        better = (heads @ _ideal_bits(heads, chosen).T).argmin(axis=1)
        if (better == chosen).all():
            break
        chosen = np.unique(better, return_inverse=True)[1].reshape(-1)
    sums = [histograms[chosen == k].sum(axis=0) for k in range(int(chosen.max()) + 1)]
    if length is None:
        bank = [best_table(s) for s in sums]
        bits = np.stack([code_lengths(t, histograms.shape[1]) for t in bank])
        cost = histograms @ bits.T
    else:
        bank = [freeze(s[:length] + 0.5) for s in sums]
        cost = heads @ (BITS - np.log2(np.array(bank))).T
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
