"""Tables drawn at random, in which everything occurs that tables may hold."""

import numpy as np

from overtone.frequency import Tables
from overtone.frequency.channels import DC
from overtone.frequency.context import CONTEXTS
from overtone.frequency.frequency_tables import MAX_LENGTH, freeze
from overtone.frequency.neighbours import features
from overtone.frequency.tables import NAMES

Ints = tuple[int, ...]


def random_tables(channels: Ints, qualities: int, seed: int = 0) -> Tables:
    """Short and long tables, and taps of every feature, with weights of both signs."""
    rng = np.random.default_rng(seed)
    lengths = [2, 3, MAX_LENGTH, *rng.integers(2, 20, 9).tolist()]
    count = len(channels)

    def taps(number: int, least: int) -> Ints:
        flat: list[int] = []
        for source in {number, *rng.integers(0, number + 1, 3).tolist()}:
            listed = len(features(source == number, channels[source] in DC))
            for feature in rng.permutation(listed)[:4].tolist():
                flat += [source, feature, int(rng.integers(least, 120))]
        return tuple(flat)

    return Tables(
        bank=tuple(freeze(rng.geometric(0.2, n) + 200 // np.arange(1, n + 1)) for n in lengths),
        contexts=tuple("".join(rng.choice(list(NAMES[: len(lengths)]), CONTEXTS)) for _ in channels),
        centre=tuple(taps(number, -120) for number in range(count)),
        spread=tuple(taps(number, 0) for number in range(count)),
        base=tuple(tuple(rng.integers(0, 200, 3).tolist()) for _ in channels),
        empty=tuple(tuple(rng.integers(1, 256, count).tolist()) for _ in range(qualities)),
    )
