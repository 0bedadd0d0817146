"""Tables without data: a plausible picture, for tests and first trials."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from overtone.frequency.bank import best_table
from overtone.frequency.channels import DC
from overtone.frequency.context import CONTEXTS, OFFSET_LEVELS, SPREADS
from overtone.frequency.tables import NAMES, Tables

# Readings of the channel itself, each weighing 64 / 256: around a coefficient, or around a DC.
_AROUND: Final = (0, 1, 2, 3)
_AROUND_DC: Final = (0, 1, 2, 5)
_SIZE: Final = 4096


def prior_tables(channels: tuple[int, ...], qualities: int) -> Tables:
    """Nothing is expected but zero (or MED), as far away as the neighbours are from zero (or each other)."""
    around = [_AROUND_DC if channel in DC else _AROUND for channel in channels]
    letters = "".join(NAMES[level] * OFFSET_LEVELS for level in range(CONTEXTS // OFFSET_LEVELS))
    return Tables(
        bank=tuple(best_table(_laplacian(mean)) for mean in _means()),
        contexts=(letters,) * len(channels),
        centre=((),) * len(channels),
        spread=tuple(tuple(x for r in row for x in (c, r, 64)) for c, row in enumerate(around)),
        base=((0, 0, 32),) * len(channels),
        empty=((16,) * len(channels),) * qualities,
    )


def _means() -> list[float]:
    """A spread for each of the 20 levels, in steps."""
    edges = np.array([SPREADS[0] / 2, *SPREADS, 3 * SPREADS[-1]]) / 1024
    means: list[float] = np.sqrt(edges[1:] * edges[:-1]).tolist()
    return means


def _laplacian(mean: float) -> NDArray[np.float64]:
    """Weights of folded numbers whose distance from zero is `mean` on average: a two-sided geometric law."""
    decay = mean / (1 + mean)
    # A running product and not a power, so that every machine finds the same tables.
    powers = np.cumprod(np.full(_SIZE // 2, decay)) / 2
    weights = np.concatenate([[1.0], np.repeat(powers, 2)])
    law: NDArray[np.float64] = weights / weights.sum() * 10_000
    return law
