"""Are promises kept? Held-out predictions, split at random many times into calibration and the rest."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overtone.training.calibrate import fit_temperature
from overtone.training.certificate import Wish, WishError, take, threshold_for
from overtone.training.modes import confidence, lost
from overtone.training.predict import Predictions

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Kept:
    """How a promise fared over many splits.

    Attributes:
        wish: what was promised.
        n: pictures a calibration.
        splits: how many.
        promised: the bound on the mean, or in high probability on how often alpha is passed.
        found: the same, as it came out. A mean is taken over the pictures left out of each calibration. How
            often alpha is passed is counted on the risk over all pictures, from which each calibration was
            drawn: that is the risk the promise is about, whereas a rest's own is noisy.
        error: standard error of `found` over the splits.
        passed_on_rest: how often alpha was passed on the pictures left out; no promise bounds this.
        exit_share: mean share of the rest that low answered.
    """

    wish: Wish
    n: int
    splits: int
    promised: float
    found: float
    error: float
    passed_on_rest: float | None
    exit_share: float

    @property
    def holds(self) -> bool:
        """Within two standard errors of the simulation."""
        return self.found <= self.promised + 2 * self.error


@dataclass(frozen=True)
class _Split:
    """Of one split: the loss on the rest and on all pictures, and the share answered early on the rest."""

    rest: float
    all: float
    early: float


def simulate(
    p: Predictions, wishes: Sequence[Wish], *, n: int | None = None, splits: int = 1000, seed: int = 0
) -> tuple[Kept, ...]:
    """Choose every point on n random pictures (default: half) and measure it on the rest, `splits` times.

    The temperature is fitted on the same n pictures as the threshold, as `overtone calibrate` does. Strictly
    that is outside the theorems, which want the score fixed beforehand; so it is part of what is tried here.

    Raises:
        WishError: no pictures would be left on one side.
    """
    total = len(p.targets)
    n = total // 2 if n is None else n
    if not 0 < n < total:
        raise WishError(f"{n} of {total} pictures cannot be split off; give 1 to {total - 1}")
    rng = np.random.default_rng(seed)
    runs: list[list[_Split]] = [[] for _ in wishes]
    for _ in range(splits):
        drawn = np.zeros(total, bool)
        drawn[rng.permutation(total)[:n]] = True
        chosen = take(p, drawn)
        scores = confidence(p.low, fit_temperature(chosen.low, chosen.targets))
        for run, wish in zip(runs, wishes, strict=True):
            run.append(_split(wish, scores, p, chosen, drawn))
    return tuple(_kept(wish, n, run) for wish, run in zip(wishes, runs, strict=True))


def _split(
    wish: Wish, scores: Floats, p: Predictions, chosen: Predictions, drawn: NDArray[np.bool_]
) -> _Split:
    early = scores >= threshold_for(wish, scores[drawn], chosen)
    losses = _losses(wish, early, p)
    return _Split(float(losses[~drawn].mean()), float(losses.mean()), float(early[~drawn].mean()))


def _losses(wish: Wish, early: NDArray[np.bool_], p: Predictions) -> Floats:
    """What the promise bounds the mean of, a value a picture."""
    if wish.alpha is not None:
        return (early & lost(p)).astype(float)
    if wish.share is not None:
        return (~early).astype(float)
    return np.where(early, p.low_bytes, p.low_bytes + p.high_bytes).astype(np.float64)


def _kept(wish: Wish, n: int, runs: Sequence[_Split]) -> Kept:
    rest, everything = np.array([r.rest for r in runs]), np.array([r.all for r in runs])
    exit_share = float(np.mean([r.early for r in runs]))
    passed = None if wish.alpha is None else float(np.mean(rest > wish.alpha))
    if wish.alpha is not None and wish.delta is not None:
        found = float(np.mean(everything > wish.alpha))
        error = float(np.sqrt(wish.delta * (1 - wish.delta) / len(runs)))
        return Kept(wish, n, len(runs), wish.delta, found, error, passed, exit_share)
    promised = next(float(x) for x in (wish.alpha, wish.share, wish.mean_bytes) if x is not None)
    error = float(rest.std() / np.sqrt(len(runs)))
    return Kept(wish, n, len(runs), promised, float(rest.mean()), error, passed, exit_share)
