"""What a channel costs at a step: an estimate quick and smooth enough to choose steps by.

The codec's own lengths depend on every channel's step at once. Here each channel is counted alone: the
entropy of its rounded values given how large their coded neighbours are. Absolute bytes come out some tenths
too high; what matters is how they change with the step.
"""

import numpy as np
from numpy.typing import NDArray

from overtone.frequency.channels import DC, Channels
from overtone.frequency.quantise import quantise
from overtone.training.progress import tracked

STEPS = np.geomspace(6, 1536, 17)
# Sums of neighbours' magnitudes that begin a new context.
LEVELS = (1, 2, 3, 5, 8, 13, 24, 48, 100)
_LARGEST = 400  # magnitudes from here on are counted as one
Row = NDArray[np.float64]


class Rate:
    """Bytes of each channel of a picture, for any steps and one rounding threshold.

    Counted at a grid of steps; between them logarithms are interpolated.

    Args:
        values: coefficients float32[N, C, h, w] of some pictures, not rounded.
        channels: their C indices.
        threshold: as in `frequency.quantise`.
    """

    def __init__(self, values: NDArray[np.float32], channels: Channels, threshold: float) -> None:
        self.threshold = threshold
        each = tracked(list(enumerate(channels)), f"bytes, rounding up from {threshold:.2f}")
        self._log_bytes = np.log(
            [[_bytes(values[:, i], step, threshold, c in DC) + 0.5 for step in STEPS] for i, c in each]
        )

    def __call__(self, steps: Row) -> Row:
        """Mean bytes float64[C] at steps float64[C]."""
        logs = [
            np.interp(np.log(s), np.log(STEPS), line) for s, line in zip(steps, self._log_bytes, strict=True)
        ]
        return np.maximum(np.exp(logs) - 0.5, 0)


def _bytes(values: NDArray[np.float32], step: float, threshold: float, dc: bool) -> float:
    """Mean bytes of one channel float32[N, h, w]; of a DC, what a median of its neighbours leaves."""
    coded = quantise(values, [step] * len(values), threshold).astype(np.int64)
    if dc:
        left, up, corner, _ = _neighbours(coded)
        coded = coded - np.median([left, up, left + up - corner], axis=0).astype(np.int64)
    return _entropy(coded) / 8 / len(coded)


def _entropy(values: NDArray[np.int64]) -> float:
    """Bits of all values, each given the magnitudes around it."""
    left, up, corner, right = _neighbours(np.abs(values))
    context = np.digitize(2 * left + 2 * up + corner + right, LEVELS)
    width = 2 * _LARGEST + 1
    symbol = np.clip(values, -_LARGEST, _LARGEST) + _LARGEST
    counts = np.bincount((context * width + symbol).ravel(), minlength=(len(LEVELS) + 1) * width)
    counts = counts.reshape(-1, width)
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return float(-(counts * np.log2(np.maximum(counts, 1) / totals)).sum())


def _neighbours(values: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    """Left, above, above left and above right of each value; nothing lies outside."""
    padded = np.pad(values, ((0, 0), (1, 0), (1, 1)))
    return padded[:, 1:, :-2], padded[:, :-1, 1:-1], padded[:, :-1, :-2], padded[:, :-1, 2:]
