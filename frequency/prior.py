"""Plausible tables where there are no images to fit them to, for tests and first trials."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from overtone.frequency.channels import DC
from overtone.frequency.context import CONTEXTS, OFFSET_LEVELS, SPREADS
from overtone.frequency.frequency_tables import best_table
from overtone.frequency.tables import NAMES, Tables

# Causal features that are weighed, each with 64 / 256: of a channel, and of a DC channel.
_FEATURES: Final = (0, 1, 2, 3)
_FEATURES_DC: Final = (0, 1, 2, 5)
_SIZE: Final = 4096


def prior_tables(channels: tuple[int, ...], qualities: int) -> Tables:
    """Tables that predict zero, and MED in a DC channel.

    The expected distance from there is the mean of how far the neighbours are from zero, in a DC channel from
    each other.
    """
    weighed = [_FEATURES_DC if channel in DC else _FEATURES for channel in channels]
    letters = "".join(NAMES[level] * OFFSET_LEVELS for level in range(CONTEXTS // OFFSET_LEVELS))
    return Tables(
        bank=tuple(best_table(_laplacian(mean)) for mean in _means()),
        contexts=(letters,) * len(channels),
        centre=((),) * len(channels),
        spread=tuple(tuple(x for f in row for x in (c, f, 64)) for c, row in enumerate(weighed)),
        base=((0, 0, 32),) * len(channels),
        empty=((16,) * len(channels),) * qualities,
    )


def _means() -> list[float]:
    """A typical spread for each of the 20 levels, in steps."""
    edges = np.array([SPREADS[0] / 2, *SPREADS, 3 * SPREADS[-1]]) / 1024
    means: list[float] = np.sqrt(edges[1:] * edges[:-1]).tolist()
    return means


def _laplacian(mean: float) -> NDArray[np.float64]:
    """Weights of mapped residuals of mean distance `mean` from zero: a two-sided geometric distribution."""
    decay = mean / (1 + mean)
    # A running product rather than a power, so that every machine finds the same tables.
    powers = np.cumprod(np.full(_SIZE // 2, decay)) / 2
    weights = np.concatenate([[1.0], np.repeat(powers, 2)])
    scaled: NDArray[np.float64] = weights / weights.sum() * 10_000
    return scaled
