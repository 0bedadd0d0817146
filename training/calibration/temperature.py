"""Temperature scaling (Guo et al. 2017): logits are divided by a number so that confidence matches accuracy."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from overtone.training.evaluation.predictions import Predictions


def losses(logits: NDArray[np.float64], targets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Negative log-likelihood of each target float64[n], in nats, for logits [n, classes]."""
    found: NDArray[np.float64] = -log_softmax(logits, axis=1)[np.arange(len(targets)), targets]
    return found


def fit_temperature(logits: NDArray[np.float64], targets: NDArray[np.int64]) -> float:
    """The temperature with the smallest negative log-likelihood (their section 4.2)."""

    def loss(log_temperature: float) -> float:
        return float(losses(logits / np.exp(log_temperature), targets).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded").x))


def fit_temperatures(p: Predictions) -> tuple[float, ...]:
    """One temperature for the answer after each layer."""
    return tuple(fit_temperature(logits, p.targets) for logits in p.logits)
