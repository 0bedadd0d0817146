"""Tables that need no images to be fitted to, for tests and first trials."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from overtone.frequency.context import LEVELS, SPREADS, contexts
from overtone.frequency.features import ONE, PLACES
from overtone.frequency.frequency_tables import Table, best_table, freeze
from overtone.frequency.ladder import Layer
from overtone.frequency.network import LETTERS, MAX_WEIGHT, write_weights
from overtone.frequency.tables import LayerTables, Network, Tables, coded_channels

_TAPS: Final = tuple(PLACES.index(place) for place in ((0, -1), (-1, 0), (-1, -1), (-1, 1)))
_UNITS: Final = 8
# One hidden unit adds up the codes of the four features; these make its sum a typical level of the spread.
_HIDDEN: Final = 23
_OUTPUT: Final = 20
_BIAS: Final = 1408
_SIZE: Final = 4096


def prior_tables(channels: Sequence[int], split: int, ladder: Sequence[Layer], qualities: int) -> Tables:
    """Tables that predict zero, and MED in a DC channel, for `split` low channels and the others.

    The expected distance from there grows with the magnitudes of the neighbours.
    """
    return Tables(tuple(_layer(channels, split, ladder, n, qualities) for n in range(len(ladder))))


def _layer(
    channels: Sequence[int], split: int, ladder: Sequence[Layer], number: int, qualities: int
) -> LayerTables:
    at = coded_channels(ladder, number, split, len(channels))
    each = contexts(at.refines) // LEVELS
    return LayerTables(
        bank=tuple(_ternary(s) if at.refines else best_table(_geometric(s)) for s in SPREADS),
        contexts="".join(letter * each for letter in LETTERS[:LEVELS]),
        networks=tuple(_network(channel) for channel in at.band),
        empty=((16,) * len(at.band),) * qualities,
    )


def _network(channel: int) -> Network:
    hidden = np.zeros((2 * len(_TAPS) + 6, _UNITS), np.int64)
    hidden[: 2 * len(_TAPS), 0] = _HIDDEN
    output = np.zeros((3, _UNITS), np.int64)
    output[1, 0] = _OUTPUT
    assert abs(hidden).max() <= MAX_WEIGHT
    return Network(
        taps=tuple(x for place in _TAPS for x in (channel, place)),
        centre=(0,) * len(_TAPS),
        globals=(),
        bias=(0,) * _UNITS,
        hidden=write_weights(hidden),
        output=write_weights(output),
        output_bias=(0, _BIAS, 0),
    )


def _decay(spread: int) -> float:
    mean = 1.386 * spread / ONE
    return mean / (1 + mean)


def _ternary(spread: int) -> Table:
    return freeze(np.array([1.0, _decay(spread), _decay(spread)]))


def _geometric(spread: int) -> NDArray[np.float64]:
    """Weights of mapped residuals: a two-sided geometric distribution."""
    # A running product rather than a power, so that every machine finds the same tables.
    powers = np.cumprod(np.full(_SIZE // 2, _decay(spread))) / 2
    weights = np.concatenate([[1.0], np.repeat(powers, 2)])
    scaled: NDArray[np.float64] = weights / weights.sum() * 10_000
    return scaled
