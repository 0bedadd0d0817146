"""An estimate of the bytes of a channel at a quantiser step, fast and smooth enough to search steps with.

The codec's actual lengths depend on the steps of all channels at once. Here each channel is counted alone, by
the entropy of its rounded values given the magnitudes of their coded neighbours. The estimates are too high by
some tens of percent, but they change with the step as the actual bytes do.
"""

import numpy as np
from numpy.typing import NDArray

from overtone.frequency.channels import DC, Channels
from overtone.frequency.quantise import quantise
from overtone.training.progress import tracked

STEPS = np.geomspace(6, 1536, 17)
# Sums of neighbouring magnitudes at which a new context begins.
LEVELS = (1, 2, 3, 5, 8, 13, 24, 48, 100)
_LARGEST = 400  # larger magnitudes are counted together
Row = NDArray[np.float64]


class Rate:
    """Bytes of each channel of an image, for any steps and one rounding threshold.

    They are counted at a grid of steps, between which their logarithms are interpolated.

    Args:
        values: coefficients float32[N, C, h, w] of some images, not quantised.
        channels: the indices of the C channels.
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
    """Mean bytes of one channel float32[N, h, w]; a DC is first predicted by the median of its neighbours."""
    coded = quantise(values, [step] * len(values), threshold).astype(np.int64)
    if dc:
        left, up, corner, _ = _neighbours(coded)
        coded = coded - np.median([left, up, left + up - corner], axis=0).astype(np.int64)
    return _entropy(coded) / 8 / len(coded)


def _entropy(values: NDArray[np.int64]) -> float:
    """Bits of all values, each conditioned on the magnitudes around it."""
    left, up, corner, right = _neighbours(np.abs(values))
    context = np.digitize(2 * left + 2 * up + corner + right, LEVELS)
    width = 2 * _LARGEST + 1
    symbol = np.clip(values, -_LARGEST, _LARGEST) + _LARGEST
    counts = np.bincount((context * width + symbol).ravel(), minlength=(len(LEVELS) + 1) * width)
    counts = counts.reshape(-1, width)
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return float(-(counts * np.log2(np.maximum(counts, 1) / totals)).sum())


def _neighbours(values: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    """The values left, above, above left and above right of each value; zero outside the image."""
    padded = np.pad(values, ((0, 0), (1, 0), (1, 1)))
    return padded[:, 1:, :-2], padded[:, :-1, 1:-1], padded[:, :-1, :-2], padded[:, :-1, 2:]
