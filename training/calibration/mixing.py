"""Mixes of low's and high's logits as the high answer, judged on images that they were not fitted on."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import softmax

from overtone.models import Mix
from overtone.training.calibration.temperature import fit_temperature, fit_temperatures, losses
from overtone.training.evaluation.predictions import Predictions
from overtone.training.evaluation.stopping import Floats

Fit = Callable[[Predictions], Mix | None]
FOLDS = 5


def fit_mix(p: Predictions) -> Mix:
    """The mix with the smallest negative log-likelihood; the problem is convex in its two weights."""
    parts = p.logits[p.low_layers - 1], p.logits[-1]
    one_hot = np.eye(parts[0].shape[1])[p.targets]

    def loss(w: Floats) -> tuple[float, Floats]:
        logits = w[0] * parts[0] + w[1] * parts[1]
        wrong = softmax(logits, axis=1) - one_hot
        slope = [(wrong * part).sum(axis=1).mean() for part in parts]
        return float(losses(logits, p.targets).mean()), np.array(slope)

    low, high = minimize(loss, np.array([0.0, 1.0]), jac=True, method="L-BFGS-B").x
    return Mix(low=float(low), high=float(high))


def equal_mix(p: Predictions) -> Mix:
    """The mean of both logits, each at its own temperature."""
    t = fit_temperatures(p)
    return Mix(low=0.5 / t[p.low_layers - 1], high=0.5 / t[-1])


def mixed(p: Predictions, mix: Mix | None) -> Predictions:
    """The predictions of a cascade with a mix, from those `p` of the same cascade without one.

    Every answer of the high network is mixed with the low network's last answer.
    """
    if mix is None:
        return p
    low, high = p.logits[: p.low_layers], p.logits[p.low_layers :]
    return replace(p, logits=np.concatenate([low, mix(np.broadcast_to(low[-1], high.shape), high)]))


FITS: dict[str, Fit] = {"high alone": lambda _: None, "equal": equal_mix, "fitted": fit_mix}


def compare(p: Predictions, fresh: Predictions | None = None) -> dict[str, dict[str, float]]:
    """Every way of mixing: fitted on `p` and measured on `fresh`, or cross-validated on `p` without `fresh`.

    Returns:
        For each name in `FITS`: `both`, top-1 of the high answer; its `gain` over high alone, and the standard `error`
        of that gain, paired over images; `nll`, the negative log-likelihood at a fitted temperature, in nats.
    """
    parts = [(p, fresh)] if fresh else [(p.take(~held), p.take(held)) for held in folds(len(p.targets))]
    measured = {}
    for name, fit in FITS.items():
        outcomes = [outcome(fit, *part) for part in parts]
        measured[name] = [np.concatenate(column) for column in zip(*outcomes, strict=True)]
    alone, _ = measured["high alone"]
    return {name: _summary(correct, nll, alone) for name, (correct, nll) in measured.items()}


def outcome(fit: Fit, p: Predictions, fresh: Predictions) -> tuple[Floats, Floats]:
    """Mix and temperature fitted on `p`, applied to `fresh`: correct answers (0, 1) and log-losses float64[n]."""
    mix = fit(p)
    p, fresh = mixed(p, mix), mixed(fresh, mix)
    temperature = fit_temperature(p.logits[-1], p.targets)
    return fresh.correct[-1].astype(np.float64), losses(fresh.logits[-1] / temperature, fresh.targets)


def _summary(correct: Floats, nll: Floats, alone: Floats) -> dict[str, float]:
    gain = correct - alone
    error = gain.std() / np.sqrt(len(gain))
    found = {"both": correct.mean(), "gain": gain.mean(), "error": error, "nll": nll.mean()}
    return {name: float(value) for name, value in found.items()}


def folds(n: int) -> Iterator[NDArray[np.bool_]]:
    """Masks bool[n], in one of which each image is held out."""
    number = np.random.default_rng(0).permutation(n) % FOLDS
    for i in range(FOLDS):
        yield number == i
