"""Least squares for centres and spreads, with as few readings as may be."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Matrix = NDArray[np.float64]

_ROUNDS: Final = 3
_RIDGE: Final = 1e-6


def centre_weights(readings: Floats, target: Floats, most: int) -> Floats:
    """Weights float32[n] of at most `most` readings float32[m, n] that come nearest to target float32[m].

    An error counts the less the more it is to be expected there: where readings are large.
    """
    doubt = (0.3 + np.abs(readings).mean(axis=1)) ** -1
    gram, moment = _normal(readings, target, doubt**2)
    kept = _shrink(gram, moment, np.arange(len(moment)), most, 0)
    return _spread_out(gram, moment, kept)


def spread_weights(magnitudes: Floats, distance: Floats, most: int, keep: int) -> Floats:
    """Weights >= 0 of at most `most` magnitudes, not counting the last `keep`, for the expected distance.

    Reweighted least squares: at its fixed point the likelihood of a Laplacian with that spread is stationary.
    """
    kept = np.arange(magnitudes.shape[1])
    expected = np.full(len(distance), distance.mean(), dtype=np.float32)
    weights = np.zeros(len(kept), dtype=np.float32)
    for _ in range(_ROUNDS):
        some = magnitudes[:, kept]
        gram, moment = _normal(some, distance, (expected + 0.05) ** -2)
        inner = _without_negative(gram, moment, np.arange(len(kept)))
        inner = _shrink(gram, moment, inner, most, keep, len(kept))
        inner = _without_negative(gram, moment, inner)
        found = _spread_out(gram, moment, inner)
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


def _spread_out(gram: Matrix, moment: Matrix, kept: NDArray[np.int64]) -> Floats:
    weights = np.zeros(len(moment), dtype=np.float32)
    if len(kept):
        weights[kept] = _solve(gram, moment, kept)
    return weights


def _shrink(
    gram: Matrix, moment: Matrix, kept: NDArray[np.int64], most: int, keep: int, count: int = 0
) -> NDArray[np.int64]:
    """Leaves out, one by one, the regressor whose absence costs least: w^2 / (G^-1)_ii."""
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
