"""The choice of equal accuracy, in front of a network of its own."""

import numpy as np
from numpy.typing import NDArray

from overtone.benchmarks.load.upload import Rival
from overtone.benchmarks.sweep.fair import FIRST, Tried, search

N = 400
OURS = np.arange(N) % 10 != 0
SMALL, FAIR, DEAR = Rival("webp", 96, 40), Rival("webp", 128, 25), Rival("webp", 224, 75)


def tried(*shares: float) -> tuple[tuple[Tried, bool], list[tuple[Rival, int]]]:
    """What is found if the three rivals are right in such shares, and which trials it took."""
    told: list[tuple[Rival, int]] = []
    share = dict(zip((SMALL, FAIR, DEAR), shares, strict=True))

    def trial(rival: Rival, count: int) -> tuple[NDArray[np.bool_], float]:
        return np.arange(count) < share[rival] * count, 10.0 * rival.side

    found = search([SMALL, FAIR, DEAR], OURS, trial, lambda each: told.append((each.rival, each.n)))
    return found, told


def test_the_first_that_is_as_accurate_wins() -> None:
    (found, reached), told = tried(0.80, 0.8975, 0.95)
    assert (found, reached) == (Tried(FAIR, 0.8975, 1280.0, N), True)
    # One far behind was not tried on all, and nobody dearer at all.
    assert told == [(SMALL, FIRST), (FAIR, FIRST), (FAIR, N)]


def test_if_none_is_the_most_accurate_stands_in() -> None:
    (found, reached), told = tried(0.80, 0.885, 0.86)
    assert (found.rival, reached) == (FAIR, False)
    assert told[-1][0] == DEAR
