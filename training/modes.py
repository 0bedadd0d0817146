"""The three modes on predictions: low only, always both, and the cascade in between."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from overtone.models import Temperature
from overtone.training.predict import Predictions

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def confidence(logits: Floats, temperature: float) -> Floats:
    """Largest probability float64[n]."""
    top: Floats = softmax(logits / temperature, axis=1).max(axis=1)
    return top


def right(p: Predictions) -> tuple[Bools, Bools]:
    """Which pictures low and high have right, bool[n] each."""
    return p.low.argmax(axis=1) == p.targets, p.high.argmax(axis=1) == p.targets


def lost(p: Predictions) -> Bools:
    """Which pictures are lost if low answers: high has them right and low has not."""
    low_right, high_right = right(p)
    return high_right & ~low_right


@dataclass(frozen=True)
class Modes:
    """Top-1 in the three modes and what the cascade sent: fractions, and bytes per image."""

    low: float
    both: float
    cascade: float
    exit_share: float
    mean_bytes: float


def modes(p: Predictions, temperature: Temperature, threshold: float) -> Modes:
    """Low only, always both, and the cascade at a threshold.

    The high logits are those of the high answer, mixed already where the card says so.
    """
    return modes_of(p, confidence(p.low, temperature.low) >= threshold)


def modes_of(p: Predictions, early: Bools) -> Modes:
    """Low only, always both, and the cascade that answers the `early` pictures from low."""
    low_right, high_right = right(p)
    return Modes(
        low=float(low_right.mean()),
        both=float(high_right.mean()),
        cascade=float(np.where(early, low_right, high_right).mean()),
        exit_share=float(early.mean()),
        mean_bytes=float((p.low_bytes + np.where(early, 0, p.high_bytes)).mean()),
    )
