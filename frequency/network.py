"""Weights of the networks as text: one letter each, so that a profile stays small when it is compressed."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

# Printable ASCII that JSON writes as it is; the letter in the middle is zero.
LETTERS: Final = "".join(chr(c) for c in range(32, 127) if chr(c) not in '"\\')
MAX_WEIGHT: Final = len(LETTERS) // 2
MAX_BIAS: Final = (1 << 15) - 1
MAX_UNITS: Final = 32
OUTPUTS: Final = 3
# A weight is a 32nd, a code a 16th, and a sum is counted in 1024ths.
UNIT: Final = 2

_VALUES = np.zeros(128, np.int16)
_VALUES[[ord(letter) for letter in LETTERS]] = np.arange(len(LETTERS)) - MAX_WEIGHT


def write_weights(weights: NDArray[np.integer]) -> str:
    """Letters of integers from -46 to 46."""
    return "".join(LETTERS[w + MAX_WEIGHT] for w in weights.ravel().tolist())


def read_weights(letters: str, units: int) -> NDArray[np.int16]:
    """Weights int16[inputs, units] as the coder uses them."""
    values = _VALUES[np.frombuffer(letters.encode("ascii"), np.uint8)]
    return (values * np.int16(UNIT)).reshape(-1, units)
