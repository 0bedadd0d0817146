"""Predictions of made-up networks, for tests of what is chosen on them."""

from collections.abc import Sequence

import numpy as np

from overtone.training.evaluation.predictions import Predictions

Sizes = Sequence[tuple[int, int]]


def predictions(
    n: int = 4000, seed: int = 0, low: float = 1.0, high: float = 2.0, classes: int = 4
) -> Predictions:
    """Two imperfect classifiers, the high one better; their logits are 2 times too large to be calibrated."""
    return layered(n, seed, (low, high), ((400, 600), (900, 1100)), classes)


def three_layers(n: int = 4000, seed: int = 0, classes: int = 4) -> Predictions:
    """Three classifiers, each better than the one before, of which low gives the first two answers."""
    return layered(n, seed, (1.0, 1.6, 2.6), ((200, 400), (150, 300), (900, 1100)), classes)


def layered(n: int, seed: int, strengths: Sequence[float], sizes: Sizes, classes: int = 4) -> Predictions:
    """An answer after each layer, of this strength, and payloads of sizes drawn from these ranges."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, n)
    one_hot = np.eye(classes)[targets]
    logits = [2 * (k * one_hot + rng.gumbel(size=(n, classes))) for k in strengths]
    sent = [rng.integers(least, most, n) for least, most in sizes]
    return Predictions(np.stack(logits), targets, np.stack(sent), len(strengths) - 1)
