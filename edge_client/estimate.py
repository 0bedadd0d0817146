"""How fast a link is and how long its round trip, learned from messages of different sizes."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

# Enough to outlast a few odd ones; few enough to follow a device that moves.
WINDOW = 32
# Beneath this many a line through them says little.
ENOUGH = 4
# Faster than any link that is worth measuring; it stands for "no longer for larger messages".
FASTEST = 125e6


class Estimate:
    """A line ``seconds = round_trip + bytes / rate`` through the last messages and their replies.

    Its slope is the weighted median of the slopes between all pairs (Theil and Sen; weights as in Sievers,
    JASA 73, 1978: by how far the sizes are apart), so that some messages that met a stall do no harm.
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque(maxlen=WINDOW)
        self._line: tuple[float, float] | None = None

    def add(self, size: float, seconds: float) -> None:
        """A message of `size` bytes was replied to after `seconds`, the server's own time taken off."""
        self._seen.append((size, max(0.0, seconds)))
        self._line = None

    @property
    def rate(self) -> float | None:
        """Bytes per second towards the server; None as long as nobody can tell."""
        return 1 / self._fit()[0] if self._ready() else None

    @property
    def round_trip(self) -> float:
        """Seconds for a message without bytes; 0.0 as long as nobody can tell."""
        return self._fit()[1] if self._ready() else 0.0

    def _ready(self) -> bool:
        return len(self._seen) >= ENOUGH and len({size for size, _ in self._seen}) > 1

    def _fit(self) -> tuple[float, float]:
        if self._line is None:
            sizes, times = np.array(self._seen).T
            slope = max(1 / FASTEST, _slope(sizes, times))
            self._line = slope, max(0.0, float(np.median(times - slope * sizes)))
        return self._line


def _slope(sizes: Numbers, times: Numbers) -> float:
    """Seconds per byte."""
    one, other = np.triu_indices(len(sizes), 1)
    apart = sizes[one] - sizes[other]
    different = apart != 0
    apart, slower = apart[different], (times[one] - times[other])[different]
    slopes = slower / apart
    order = np.argsort(slopes)
    below = np.cumsum(np.abs(apart)[order])
    return float(slopes[order][np.searchsorted(below, below[-1] / 2)])
