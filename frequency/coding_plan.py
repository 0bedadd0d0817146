"""A coding plan: the tables of one layer at one quality, prepared for both implementations of the coder."""

from array import array
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from overtone.frequency.features import Tap
from overtone.frequency.frequency_tables import Table

Weights = NDArray[np.int16]


class Model(NamedTuple):
    """A frequency table, and where the interval of each of its symbols starts."""

    frequencies: Table
    starts: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class ChannelPlan:
    """The numbers that one channel is coded with; H is the number of hidden units.

    Attributes:
        empty: the probability, in 16384ths, that the layer codes nothing of the channel: all values are 0, or none
            differs from its coarse value.
        ratios: for each plane, 1024 times its unit over the channel's.
        taps: the T features.
        centre: the weight of each feature in the centre, in 1024ths.
        globals: the G planes whose activity in the whole image the network reads.
        bias: int16[H].
        tap_weights: int16[T, 2, H], for positive and for negative features.
        centre_weights: int16[2, H], for a positive and for a negative centre.
        other_weights: int16[3 + G, H], for row, column, activity of the rows above, and activity of the planes.
        output_weights: int16[3, H].
        output_bias: of shift, spread and shape.
    """

    empty: int
    ratios: tuple[int, ...]
    taps: tuple[Tap, ...]
    centre: tuple[int, ...]
    globals: tuple[int, ...]
    bias: Weights
    tap_weights: Weights
    centre_weights: Weights
    other_weights: Weights
    output_weights: Weights
    output_bias: tuple[int, ...]

    @property
    def units(self) -> int:
        """The number of hidden units, H."""
        return len(self.bias)

    @property
    def weights(self) -> Weights:
        """All weights in one piece, as the C coder reads them."""
        parts = (self.bias, self.tap_weights, self.centre_weights, self.other_weights, self.output_weights)
        return np.concatenate([part.ravel() for part in parts])


@dataclass(frozen=True, eq=False)
class CodingPlan:
    """The numbers that a layer is coded with.

    Attributes:
        first: the number of the first channel that the layer codes.
        known: how many planes are known before; where the layer refines, those of its own channels are among them.
        refines: whether the layer refines known values.
        dc: for every plane, known or coded, whether it is a DC channel.
        channels: a plan for each channel that the layer codes.
        contexts: for each context, the number of a table in the bank.
        bank: the frequency tables.
    """

    first: int
    known: int
    refines: bool
    dc: tuple[bool, ...]
    channels: tuple[ChannelPlan, ...]
    contexts: tuple[int, ...]
    bank: tuple[Table, ...]

    @property
    def planes(self) -> int:
        """The number of planes, known or coded."""
        return len(self.dc)

    @cached_property
    def models(self) -> tuple[Model, ...]:
        """The tables of the bank with the starts of their intervals."""
        return tuple(Model(t, (0, *accumulate(t[:-1]))) for t in self.bank)

    @cached_property
    def packed(self) -> bytes:
        """The whole plan as 32-bit integers of this machine and then all weights as 16-bit ones, for the C coder."""
        numbers = [self.first, self.known, int(self.refines), self.planes, *map(int, self.dc)]
        numbers += [len(self.channels), len(self.bank)]
        for table in self.bank:
            numbers += [len(table), *table]
        numbers += self.contexts
        for c in self.channels:
            numbers += [c.empty, c.units, *c.ratios, len(c.taps)]
            for tap, weight in zip(c.taps, c.centre, strict=True):
                numbers += [*tap, weight]
            numbers += [len(c.globals), *c.globals, *c.output_bias]
        weights = np.concatenate([c.weights for c in self.channels])
        return array("i", [len(numbers) + 1, *numbers]).tobytes() + weights.tobytes()
