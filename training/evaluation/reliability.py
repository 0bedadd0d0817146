"""Reliability: how well the confidence of answers matches their accuracy."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 15


@dataclass(frozen=True)
class Reliability:
    """Means over all answers, and the expected calibration error (fractions).

    The error is the gap between confidence and accuracy in bins of confidence, averaged over answers (Guo et al.
    2017, equation 3).
    """

    ece: float
    confidence: float
    accuracy: float


def reliability(confidence: NDArray[np.float64], correct: NDArray[np.bool_], bins: int = BINS) -> Reliability:
    """From confidences float64[n] in (0, 1] and correctness bool[n]; the bins are (k/M, (k+1)/M]."""
    index = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.abs(np.bincount(index, weights=confidence - correct, minlength=bins))
    return Reliability(float(gaps.sum() / len(index)), float(confidence.mean()), float(correct.mean()))
