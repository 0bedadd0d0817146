"""Least squares for centres and spreads, with a limited number of features."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Matrix = NDArray[np.float64]

_ROUNDS: Final = 3
_RIDGE: Final = 1e-6


def centre_weights(features: Floats, target: Floats, most: int) -> Floats:
    """Weights float32[n] of at most `most` of the features float32[m, n] that best predict the target float32[m].

    An error counts for less where large errors are to be expected, which is where the features are large.
    """
    precision = (0.3 + np.abs(features).mean(axis=1)) ** -1
    gram, moment = _normal(features, target, precision**2)
    kept = _eliminate(gram, moment, np.arange(len(moment)), most, 0)
    return _solved(gram, moment, kept)


def spread_weights(magnitudes: Floats, distance: Floats, most: int, keep: int) -> Floats:
    """Weights >= 0 of at most `most` of the magnitudes that best predict the distance.

    The last `keep` magnitudes are not counted, and always stay. This is iteratively reweighted least squares: at
    its fixed point, the likelihood of a Laplace distribution with the predicted spread is stationary.
    """
    kept = np.arange(magnitudes.shape[1])
    expected = np.full(len(distance), distance.mean(), dtype=np.float32)
    weights = np.zeros(len(kept), dtype=np.float32)
    for _ in range(_ROUNDS):
        some = magnitudes[:, kept]
        gram, moment = _normal(some, distance, (expected + 0.05) ** -2)
        inner = _without_negative(gram, moment, np.arange(len(kept)))
        inner = _eliminate(gram, moment, inner, most, keep, len(kept))
        inner = _without_negative(gram, moment, inner)
        found = _solved(gram, moment, inner)
        expected = np.maximum(some @ found, np.float32(0.003))
        weights = np.zeros(magnitudes.shape[1], dtype=np.float32)
        weights[kept] = found
        kept = kept[np.unique(np.append(inner, np.arange(len(kept) - keep, len(kept))))]
    return weights


def _normal(x: Floats, y: Floats, weight: Floats) -> tuple[Matrix, Matrix]:
    weighted = x * weight[:, None]
    gram = (weighted.T @ x).astype(np.float64)
    scale = _RIDGE * np.trace(gram) / len(gram) + 1e-12
    return gram + scale * np.eye(len(gram)), (weighted.T @ y).astype(np.float64)


def _solve(gram: Matrix, moment: Matrix, kept: NDArray[np.int64]) -> Matrix:
    return np.linalg.solve(gram[np.ix_(kept, kept)], moment[kept]).astype(np.float64)


def _solved(gram: Matrix, moment: Matrix, kept: NDArray[np.int64]) -> Floats:
    weights = np.zeros(len(moment), dtype=np.float32)
    if len(kept):
        weights[kept] = _solve(gram, moment, kept)
    return weights


def _eliminate(
    gram: Matrix, moment: Matrix, kept: NDArray[np.int64], most: int, keep: int, count: int = 0
) -> NDArray[np.int64]:
    """Eliminate, one at a time, the regressor whose absence adds the least error, w^2 / (G^-1)_ii."""
    while (kept < count - keep).sum() > most if keep else len(kept) > most:
        inverse = np.linalg.inv(gram[np.ix_(kept, kept)])
        cost = (inverse @ moment[kept]) ** 2 / np.diag(inverse)
        if keep:
            cost[kept >= count - keep] = np.inf
        kept = np.delete(kept, cost.argmin())
    return kept


def _without_negative(gram: Matrix, moment: Matrix, kept: NDArray[np.int64]) -> NDArray[np.int64]:
    while len(kept):
        weights = _solve(gram, moment, kept)
        if weights.min() >= 0:
            break
        kept = np.delete(kept, weights.argmin())
    return kept
