"""Is the high answer best alone? Mixes of both networks' logits, judged on pictures not fitted on."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from overtone.models import Mix
from overtone.training.calibrate import fit_temperature, fit_temperatures
from overtone.training.certificate import ALPHAS, DEFAULT_POINT, Wish, certify, take
from overtone.training.deferral import folds
from overtone.training.modes import confidence, right
from overtone.training.predict import Predictions

Fit = Callable[[Predictions], Mix | None]


def fit_mix(p: Predictions) -> Mix:
    """The mix with the least negative log-likelihood; two weights, and the problem is convex."""
    one_hot = np.eye(p.low.shape[1])[p.targets]

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logits = w[0] * p.low + w[1] * p.high
        wrong = softmax(logits, axis=1) - one_hot
        slope = [(wrong * part).sum(axis=1).mean() for part in (p.low, p.high)]
        return _nll(logits, p.targets), np.array(slope)

    low, high = minimize(loss, np.array([0.0, 1.0]), jac=True, method="L-BFGS-B").x
    return Mix(low=float(low), high=float(high))


def equal_mix(p: Predictions) -> Mix:
    """The mean of both logits, each at its own temperature."""
    t = fit_temperatures(p)
    return Mix(low=0.5 / t.low, high=0.5 / t.high)


def mixed(p: Predictions, mix: Mix | None) -> Predictions:
    """The predictions with the high answer mixed; `p` has high's own logits."""
    return p if mix is None else replace(p, high=mix(p.low, p.high))


FITS: dict[str, Fit] = {"high alone": lambda _: None, "equal": equal_mix, "fitted": fit_mix}


@dataclass(frozen=True)
class Judged:
    """What a mix reaches on pictures it was not fitted on, and its gain over high alone.

    Attributes:
        both: top-1 of the high answer.
        cascade: top-1 of the cascade at the default point, whose threshold was chosen with the mix.
        exit_share: answered from low there.
        mean_bytes: payload bytes a picture there; a mix that agrees more with low may answer more early.
        nll: negative log-likelihood of the high answer at its fitted temperature, in nats.
        gain: of `both` over high alone.
        error: standard error of that gain, paired over pictures.
        cascade_gain: of `cascade` over that of high alone.
        cascade_error: its standard error.
    """

    both: float
    cascade: float
    exit_share: float
    mean_bytes: float
    nll: float
    gain: float = 0.0
    error: float = 0.0
    cascade_gain: float = 0.0
    cascade_error: float = 0.0


@dataclass(frozen=True)
class _Outcome:
    """Per picture: is high right, is the cascade, was it answered early, its bytes; high's log-likelihood."""

    both: NDArray[np.bool_]
    cascade: NDArray[np.bool_]
    early: NDArray[np.bool_]
    bytes: NDArray[np.float64]
    likelihood: NDArray[np.float64]


def cross_validated(p: Predictions) -> dict[str, Judged]:
    """Every way of mixing, on the pictures themselves, each by a mix fitted on others."""
    return _judged({name: _crossed(fit, p) for name, fit in FITS.items()})


def reported(p: Predictions, fresh: Predictions) -> dict[str, Judged]:
    """Every way of mixing fitted on `p`, on fresh pictures."""
    return _judged({name: _outcome(fit, p, fresh) for name, fit in FITS.items()})


def _crossed(fit: Fit, p: Predictions) -> _Outcome:
    parts = [(held, _outcome(fit, take(p, rest), take(p, held))) for rest, held in folds(len(p.targets))]
    order = np.argsort(np.concatenate([np.flatnonzero(held) for held, _ in parts]))
    names = ("both", "cascade", "early", "bytes", "likelihood")
    return _Outcome(*(np.concatenate([getattr(o, name) for _, o in parts])[order] for name in names))


def _outcome(fit: Fit, p: Predictions, fresh: Predictions) -> _Outcome:
    mix = fit(p)
    p, fresh = mixed(p, mix), mixed(fresh, mix)
    temperature = fit_temperatures(p)
    point = certify(Wish(DEFAULT_POINT, ALPHAS[DEFAULT_POINT]), p, temperature)
    early = confidence(fresh.low, temperature.low) >= point.threshold
    low_right, high_right = right(fresh)
    scores = log_softmax(fresh.high / fit_temperature(p.high, p.targets), axis=1)
    likelihood = scores[np.arange(len(fresh.targets)), fresh.targets]
    sent = np.where(early, fresh.low_bytes, fresh.low_bytes + fresh.high_bytes).astype(np.float64)
    return _Outcome(high_right, np.where(early, low_right, high_right), early, sent, likelihood)


def _judged(outcomes: dict[str, _Outcome]) -> dict[str, Judged]:
    alone = outcomes["high alone"]
    found = {}
    for name, o in outcomes.items():
        gain, error = _paired(o.both, alone.both)
        cascade_gain, cascade_error = _paired(o.cascade, alone.cascade)
        found[name] = Judged(
            both=float(o.both.mean()),
            cascade=float(o.cascade.mean()),
            exit_share=float(o.early.mean()),
            mean_bytes=float(o.bytes.mean()),
            nll=float(-o.likelihood.mean()),
            gain=gain,
            error=error,
            cascade_gain=cascade_gain,
            cascade_error=cascade_error,
        )
    return found


def _paired(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> tuple[float, float]:
    """Mean difference and its standard error."""
    difference = one.astype(float) - other
    return float(difference.mean()), float(difference.std() / np.sqrt(len(difference)))


def _nll(logits: NDArray[np.float64], targets: NDArray[np.int64]) -> float:
    return float(-log_softmax(logits, axis=1)[np.arange(len(targets)), targets].mean())
