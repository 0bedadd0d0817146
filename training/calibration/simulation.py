"""Simulation of guarantees: operating points chosen on random parts of held-out predictions, measured on the rest."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from overtone.training.calibration.risk_targets import Certifier, RiskTarget, TargetError
from overtone.training.calibration.temperature import fit_temperatures
from overtone.training.evaluation.predictions import Predictions
from overtone.training.evaluation.stopping import Floats, Ints, judged_layers, layers_taken


@dataclass(frozen=True)
class Trial:
    """The outcome of one target over many random splits.

    Attributes:
        target: what was guaranteed.
        n: number of images in each calibration.
        splits: number of splits.
        bound: the bound on the mean, or for a target in high probability on the frequency of exceeding alpha.
        found: the same quantity as measured. A mean is taken over the images left out of each calibration. The
            frequency of exceeding alpha refers to the risk over all images, from which each calibration was
            drawn: the guarantee is about that risk, whereas the risk over the rest is noisy.
        error: standard error of `found` over the splits.
        exceeded_on_rest: how often alpha was exceeded on the images left out; nothing bounds this.
        exit_share: mean share of the rest that the first layer answered.
    """

    target: RiskTarget
    n: int
    splits: int
    bound: float
    found: float
    error: float
    exceeded_on_rest: float | None
    exit_share: float

    @property
    def holds(self) -> bool:
        """Whether the bound holds within two standard errors of the simulation."""
        return self.found <= self.bound + 2 * self.error


def simulate(
    p: Predictions, targets: Sequence[RiskTarget], *, n: int | None = None, splits: int = 1000, seed: int = 0
) -> tuple[Trial, ...]:
    """Choose every point on n random images (default: half) and measure it on the rest, `splits` times.

    As in `overtone calibrate`, temperatures are fitted on the same n images as the thresholds. The theorems assume
    that the scores are fixed beforehand, so the simulation also tests this.

    Raises:
        TargetError: no images would be left on one side.
    """
    total = len(p.targets)
    n = total // 2 if n is None else n
    if not 0 < n < total:
        raise TargetError(f"{n} of {total} images cannot be split off; give 1 to {total - 1}")
    rng = np.random.default_rng(seed)
    # By target and split: mean loss on the rest, mean loss on all images, share of the rest answered early.
    found = np.empty((len(targets), splits, 3))
    for number in range(splits):
        drawn = np.zeros(total, bool)
        drawn[rng.permutation(total)[:n]] = True
        chosen = p.take(drawn)
        certifier = Certifier.of(chosen, fit_temperatures(chosen))
        scores = p.confidences(certifier.temperatures)[:-1]
        for row, target in zip(found, targets, strict=True):
            rule = certifier.rule(target)
            layers = layers_taken(judged_layers(scores, rule.thresholds, rule.all_below))
            losses = _losses(target, layers, p)
            row[number] = losses[~drawn].mean(), losses.mean(), (layers == 1)[~drawn].mean()
    return tuple(_trial(target, n, *row.T) for row, target in zip(found, targets, strict=True))


def _losses(target: RiskTarget, layers: Ints, p: Predictions) -> Floats:
    """The quantity whose mean the target bounds, per image, if so many layers are taken of each."""
    if target.alpha is not None:
        return p.lost(layers).astype(np.float64)
    return (layers > 1 if target.share is not None else p.bytes_after(layers)).astype(np.float64)


def _trial(target: RiskTarget, n: int, rest: Floats, everything: Floats, early: Floats) -> Trial:
    splits, exit_share = len(rest), float(early.mean())
    exceeded = None if target.alpha is None else float(np.mean(rest > target.alpha))
    if target.alpha is not None and target.delta is not None:
        found = float(np.mean(everything > target.alpha))
        error = float(np.sqrt(target.delta * (1 - target.delta) / splits))
        return Trial(target, n, splits, target.delta, found, error, exceeded, exit_share)
    bound = next(float(x) for x in (target.alpha, target.share, target.mean_bytes) if x is not None)
    error = float(rest.std() / np.sqrt(splits))
    return Trial(target, n, splits, bound, float(rest.mean()), error, exceeded, exit_share)
