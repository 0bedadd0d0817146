"""The ladder: the layers in which an image is sent.

Each layer adds the channels of a band, or makes values finer that are known already. Quantisers of successive layers
nest: after a layer of factor 3, a value k is known as 3 * m, where m is the integer nearest to k / 3. So a finer layer
codes only which of three values it is.
"""

from itertools import pairwise
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from overtone.frequency.errors import ProfileError

Band = Literal["low", "high"]

NEST: Final = 3
MAX_LAYERS: Final = 8


class Layer(NamedTuple):
    """A layer, after which the values of the band's channels are known as multiples of `factor` steps."""

    band: Band
    factor: int


# Six channels, then eighteen more.
TWO_LAYERS: Final = (Layer("low", 1), Layer("high", 1))
THREE_LAYERS: Final = (Layer("low", NEST), *TWO_LAYERS)


def coarsened(values: NDArray[np.int16], factor: int) -> NDArray[np.int16]:
    """The multiples of an odd factor that are nearest to integers int16[...], divided by the factor."""
    nearest: NDArray[np.int16] = ((values.astype(np.int32) + factor // 2) // factor).astype(np.int16)
    return nearest


def check_ladder(value: object) -> tuple[Layer, ...]:
    """A ladder from pairs of band and factor.

    Raises:
        ProfileError: it does not begin with low, a factor is no power of 3, or a band's factors do not fall to 1,
            to a third each time.
    """
    if not isinstance(value, tuple) or not 2 <= len(value) <= MAX_LAYERS or not all(map(_is_layer, value)):
        raise ProfileError(f"bad profile: ladder: 2 to {MAX_LAYERS} pairs of a band and a power of {NEST}")
    ladder = tuple(Layer(*pair) for pair in value)
    factors = {band: [layer.factor for layer in ladder if layer.band == band] for band in ("low", "high")}
    falling = all(f and f[-1] == 1 and all(a == NEST * b for a, b in pairwise(f)) for f in factors.values())
    if not falling or ladder[0].band != "low":
        raise ProfileError(
            "bad profile: ladder: low comes first, and the factors of each band fall to 1 by thirds"
        )
    return ladder


def _is_layer(value: object) -> bool:
    if not isinstance(value, tuple) or len(value) != 2 or value[0] not in ("low", "high"):
        return False
    return type(value[1]) is int and value[1] in (NEST**n for n in range(5))
