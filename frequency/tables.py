"""Frequency tables: how likely each symbol of a channel is, frozen as integers that sum to 4096.

A table of length n stands for n - 1 value symbols, the numbers 0 to n - 2 of `symbols.fold`, and a last
symbol, the escape, for all numbers from n - 1 on. (Even lengths hold zero, pairs
of signs and the escape; odd ones also the next negative number.)
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from frequency.symbols import fold
from frequency.varint import varint_lengths

Table = tuple[int, ...]

BITS: Final = 12
TOTAL: Final = 1 << BITS
MIN_LENGTH: Final = 2
MAX_LENGTH: Final = 256  # so that a symbol is a byte


def fit_tables(
    low: NDArray[np.int16],
    high: NDArray[np.int16],
    low_channels: Sequence[int],
    high_channels: Sequence[int],
) -> tuple[Table, ...]:
    """Tables of one quality, channels of low then of high, from quantised sample pictures.

    Args:
        low: int16[N, C, h, w], quantised with the steps of that quality.
        high: int16[N, D, h, w], likewise.
        low_channels: the C channel indices of low.
        high_channels: the D channel indices of high.
    """
    return _fit_band(low, low_channels) + _fit_band(high, high_channels)


def laplacian_tables(steps: Sequence[int], scale: float = 48.0) -> tuple[Table, ...]:
    """Tables without data: each channel a two-sided geometric law of that scale, in coefficient units."""
    return tuple(_laplacian(step, scale) for step in steps)


def freeze(weights: NDArray[np.integer] | NDArray[np.floating]) -> Table:
    """Integers >= 1 that sum to 4096 and code symbols of these positive weights in the fewest bits.

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


def _fit_band(band: NDArray[np.int16], channels: Sequence[int]) -> tuple[Table, ...]:
    if band.ndim != 4 or band.shape[1] != len(channels) or not band.size:
        raise ValueError(f"need int16[N, {len(channels)}, h, w] with N >= 1, got {list(band.shape)}")
    counts = np.zeros((len(channels), 1 << 16), dtype=np.int64)
    for picture in band:
        for channel, numbers in enumerate(fold(picture, channels)):
            seen = np.bincount(numbers.ravel())
            counts[channel, : seen.size] += seen
    return tuple(_fit(histogram) for histogram in counts)


def _fit(histogram: NDArray[np.int64]) -> Table:
    """The table, of any length, that codes this histogram of folded numbers in the fewest bits."""
    longest = min(MAX_LENGTH, int(np.flatnonzero(histogram)[-1]) + 2)
    tables = [freeze(_weights(histogram, n)) for n in range(MIN_LENGTH, longest + 1)]
    return min(tables, key=lambda table: _bits(histogram, table))


def _weights(histogram: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    values = length - 1
    return np.append(histogram[:values], histogram[values:].sum()) + 1


def _bits(histogram: NDArray[np.int64], table: Table) -> float:
    """Bits for a histogram of folded numbers, the escaped ones' varints included."""
    values = len(table) - 1
    excess = 8 * int(histogram[values:] @ varint_lengths(histogram.size - values))
    weights = _weights(histogram, len(table))
    return excess + float(weights @ (BITS - np.log2(np.array(table))))


def _laplacian(step: int, scale: float) -> Table:
    # 0.02 of the mass is left to the tails; decay ** (values / 2) falls below it.
    decay = scale / (scale + step)
    weight, pairs = 1.0, [1.0]
    while weight > 0.02 and len(pairs) < MAX_LENGTH - 3:
        weight *= decay
        pairs += [weight, weight]
    return freeze(np.array([*pairs, weight]) * TOTAL)
