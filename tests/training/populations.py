"""Predictions of made-up networks, for tests of what is chosen on them."""

import numpy as np

from overtone.training.predict import Predictions


def predictions(n: int = 4000, seed: int = 0, low: float = 1.0, high: float = 2.0) -> Predictions:
    """Two imperfect classifiers, the high one better; the logits are 2 times too large to be calibrated."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 4, n)
    one_hot = np.eye(4)[targets]
    said = [2 * (k * one_hot + rng.gumbel(size=(n, 4))) for k in (low, high)]
    low_bytes, high_bytes = rng.integers(400, 600, n), rng.integers(900, 1100, n)
    return Predictions(said[0], said[1], targets, low_bytes, high_bytes)
