"""Temperatures and the standard operating points, chosen on pictures held out of training."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from overtone.models import OperatingPoint, Temperature
from overtone.training.certificate import ALPHAS, DEFAULT_POINT, Held, certify, standard_wishes
from overtone.training.modes import Modes, confidence, modes
from overtone.training.predict import Predictions
from overtone.training.threshold import risk_controlled_threshold

__all__ = [
    "ALPHAS",
    "DEFAULT_POINT",
    "Held",
    "Modes",
    "confidence",
    "fit_temperature",
    "fit_temperatures",
    "modes",
    "operating_points",
    "risk_controlled_threshold",
]


def fit_temperature(logits: NDArray[np.float64], targets: NDArray[np.int64]) -> float:
    """The temperature with the least negative log-likelihood (Guo et al. 2017, section 4.2)."""

    def loss(log_temperature: float) -> float:
        scores = log_softmax(logits / np.exp(log_temperature), axis=1)
        return float(-scores[np.arange(len(targets)), targets].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded").x))


def fit_temperatures(p: Predictions) -> Temperature:
    """One temperature a stage."""
    return Temperature(low=fit_temperature(p.low, p.targets), high=fit_temperature(p.high, p.targets))


def operating_points(
    p: Predictions, temperature: Temperature, held: Held | None = None
) -> tuple[OperatingPoint, ...]:
    """The points of `ALPHAS` and, where the pictures are enough, their high-probability forms.

    Args:
        p: predictions on held-out pictures.
        temperature: as the card will have it.
        held: what the certificates are about; without it they are not bound to a profile or a quality.
    """
    return tuple(certify(wish, p, temperature, held) for wish in standard_wishes(len(p.targets)))
