"""Predictions of made-up networks, for tests of what is chosen on them."""

import numpy as np

from overtone.training.evaluation.predictions import Predictions


def predictions(
    n: int = 4000, seed: int = 0, low: float = 1.0, high: float = 2.0, classes: int = 4
) -> Predictions:
    """Two imperfect classifiers, the high one better; their logits are 2 times too large to be calibrated."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, n)
    one_hot = np.eye(classes)[targets]
    logits = [2 * (k * one_hot + rng.gumbel(size=(n, classes))) for k in (low, high)]
    low_bytes, high_bytes = rng.integers(400, 600, n), rng.integers(900, 1100, n)
    return Predictions(logits[0], logits[1], targets, low_bytes, high_bytes)
