"""Weighted least squares for the linear part of a context network's centre."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

_RIDGE = 1e-4


def centre_weights(features: Floats, target: Floats) -> NDArray[np.float32]:
    """Weights float32[T] of features float32[n, T] that best predict the target float32[n].

    An error counts for less where large errors are to be expected, which is where the features are large.
    """
    precision = 1 / (0.3 + np.abs(features).mean(axis=1, keepdims=True))
    weighted = features * precision
    gram = (weighted.T @ weighted).astype(np.float64)
    moment = (weighted.T @ (target * precision[:, 0])).astype(np.float64)
    ridge = _RIDGE * np.trace(gram) / len(gram) + 1e-9
    found: NDArray[np.float32] = np.linalg.solve(gram + ridge * np.eye(len(gram)), moment).astype(np.float32)
    return found
