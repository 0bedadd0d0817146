"""Tables drawn at random, in which everything occurs that tables may hold."""

from collections.abc import Sequence

import numpy as np

from overtone.frequency import Tables
from overtone.frequency.context import contexts
from overtone.frequency.features import CAUSAL_PLACES, PLACES
from overtone.frequency.frequency_tables import MAX_LENGTH, freeze
from overtone.frequency.ladder import TWO_LAYERS, Layer
from overtone.frequency.network import LETTERS
from overtone.frequency.tables import CodedChannels, LayerTables, Network, coded_channels


def random_tables(
    channels: Sequence[int],
    split: int,
    qualities: int,
    ladder: Sequence[Layer] = TWO_LAYERS,
    seed: int = 0,
    units: Sequence[int] = (8, 16, 24, 32),
) -> Tables:
    """Short and long tables, and taps of every kind, with weights of both signs."""
    rng = np.random.default_rng(seed)
    layers = [coded_channels(ladder, number, split, len(channels)) for number in range(len(ladder))]
    return Tables(tuple(_layer(at, qualities, units, rng) for at in layers))


def _layer(at: CodedChannels, qualities: int, units: Sequence[int], rng: np.random.Generator) -> LayerTables:
    lengths = [3] * 12 if at.refines else [2, 3, MAX_LENGTH, *rng.integers(2, 20, 9).tolist()]
    return LayerTables(
        bank=tuple(freeze(rng.geometric(0.2, n) + 200 // np.arange(1, n + 1)) for n in lengths),
        contexts="".join(rng.choice(list(LETTERS[: len(lengths)]), contexts(at.refines))),
        networks=tuple(_network(number, at, int(rng.choice(units)), rng) for number in at.band),
        empty=tuple(tuple(rng.integers(1, 256, len(at.band)).tolist()) for _ in range(qualities)),
    )


def _network(number: int, at: CodedChannels, units: int, rng: np.random.Generator) -> Network:
    own = len(PLACES) if at.refines else CAUSAL_PLACES
    taps = [(number, place) for place in rng.permutation(own)[: rng.integers(0, 13)].tolist()]
    readable = max(number, at.known)
    if readable:
        taps += [(int(rng.integers(readable)), int(rng.integers(len(PLACES)))) for _ in range(10)]
    seen = tuple(rng.integers(0, readable, 3).tolist()) if readable else ()
    inputs = 2 * len(taps) + 6 + len(seen)
    return Network(
        taps=tuple(x for tap in taps for x in tap),
        centre=tuple(rng.integers(-120, 120, len(taps)).tolist()),
        globals=seen,
        bias=tuple(rng.integers(-3000, 3000, units).tolist()),
        hidden="".join(rng.choice(list(LETTERS), inputs * units)),
        output="".join(rng.choice(list(LETTERS), 3 * units)),
        output_bias=tuple(rng.integers(-3000, 6000, 3).tolist()),
    )
