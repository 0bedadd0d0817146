"""Temperatures and operating points, chosen on pictures held out of training."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from models import OperatingPoint, Temperature
from training.predict import Predictions

# Name -> alpha: the most top-1 (a fraction) that answering early may cost in expectation.
ALPHAS = {"careful": 0.005, "balanced": 0.01, "thrifty": 0.02}
DEFAULT_POINT = "balanced"


def fit_temperature(logits: NDArray[np.float64], targets: NDArray[np.int64]) -> float:
    """The temperature with the least negative log-likelihood (Guo et al. 2017, section 4.2)."""

    def loss(log_temperature: float) -> float:
        scores = log_softmax(logits / np.exp(log_temperature), axis=1)
        return float(-scores[np.arange(len(targets)), targets].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded").x))


def fit_temperatures(p: Predictions) -> Temperature:
    """One temperature a stage."""
    return Temperature(low=fit_temperature(p.low, p.targets), high=fit_temperature(p.high, p.targets))


def confidence(logits: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Largest probability float64[n]."""
    top: NDArray[np.float64] = softmax(logits / temperature, axis=1).max(axis=1)
    return top


def risk_controlled_threshold(
    confidence: NDArray[np.float64], low_right: NDArray[np.bool_], high_right: NDArray[np.bool_], alpha: float
) -> float:
    """The least threshold whose early answers cost at most `alpha` of accuracy in expectation.

    Conformal risk control (Angelopoulos et al. 2022, theorem 1) with the loss
    l(t) = 1[confidence >= t] * high right * (1 - low right), which falls as t grows.
    """
    n = len(confidence)
    allowed = alpha * (n + 1) - 1
    if allowed < 0:
        return float(np.nextafter(1.0, 2.0))
    order = np.argsort(-confidence, kind="stable")
    losses = np.cumsum((high_right & ~low_right)[order])
    ranked = confidence[order]
    too_many = np.flatnonzero(losses > allowed)
    if not too_many.size:
        return 0.0
    # Everything from the first picture too many on must stay below the threshold, ties included.
    return float(np.nextafter(ranked[too_many[0]], 2.0))


@dataclass(frozen=True)
class Modes:
    """Top-1 in the three modes and what the cascade sent: fractions, and bytes per image."""

    low: float
    both: float
    cascade: float
    exit_share: float
    mean_bytes: float


def modes(p: Predictions, temperature: Temperature, threshold: float) -> Modes:
    """Low only, always both, and the cascade at a threshold."""
    early = confidence(p.low, temperature.low) >= threshold
    low_right = p.low.argmax(axis=1) == p.targets
    high_right = p.high.argmax(axis=1) == p.targets
    return Modes(
        low=float(low_right.mean()),
        both=float(high_right.mean()),
        cascade=float(np.where(early, low_right, high_right).mean()),
        exit_share=float(early.mean()),
        mean_bytes=float((p.low_bytes + np.where(early, 0, p.high_bytes)).mean()),
    )


def operating_points(p: Predictions, temperature: Temperature) -> tuple[OperatingPoint, ...]:
    """The named points of `ALPHAS`, chosen and measured on `p`."""
    scores = confidence(p.low, temperature.low)
    low_right = p.low.argmax(axis=1) == p.targets
    high_right = p.high.argmax(axis=1) == p.targets
    points = []
    for name, alpha in ALPHAS.items():
        threshold = risk_controlled_threshold(scores, low_right, high_right, alpha)
        found = modes(p, temperature, threshold)
        points.append(
            OperatingPoint(
                name=name,
                threshold=threshold,
                alpha=alpha,
                n=len(scores),
                exit_share=found.exit_share,
                mean_bytes=found.mean_bytes,
            )
        )
    return tuple(points)
