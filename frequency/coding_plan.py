"""A coding plan: the tables of one band at one quality, prepared for both implementations of the coder."""

from array import array
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

from overtone.frequency.frequency_tables import Table


class Tap(NamedTuple):
    """A feature of a channel (see `neighbours`) and its weight in 1024ths of a step.

    `source` is the number of that channel, counted through low and then high.
    """

    source: int
    feature: int
    weight: int


class Model(NamedTuple):
    """A frequency table, and where the interval of each of its symbols starts."""

    frequencies: Table
    starts: tuple[int, ...]


@dataclass(frozen=True)
class ChannelPlan:
    """How one channel is coded.

    `tables` holds, for each context, the number of a table in the bank. `empty` is the probability, in 16384ths,
    that the channel holds nothing but zeros. `lift` and `floor` belong to the spread, see `tables.Tables`.
    """

    centre: tuple[Tap, ...]
    spread: tuple[Tap, ...]
    lift: int
    floor: int
    empty: int
    tables: tuple[int, ...]


@dataclass(frozen=True)
class CodingPlan:
    """How the channels from number `first` on are coded.

    `dc` says of every channel, from number 0 to the last one coded, whether it is a DC channel.
    """

    first: int
    dc: tuple[bool, ...]
    channels: tuple[ChannelPlan, ...]
    bank: tuple[Table, ...]

    @cached_property
    def models(self) -> tuple[Model, ...]:
        """The tables of the bank with the starts of their intervals."""
        return tuple(Model(t, (0, *accumulate(t[:-1]))) for t in self.bank)

    @cached_property
    def packed(self) -> bytes:
        """The whole plan as 32-bit integers of this machine, which is how the C extension takes it."""
        numbers = [self.first, len(self.channels), *map(int, self.dc), len(self.bank)]
        for table in self.bank:
            numbers += [len(table), *table]
        for c in self.channels:
            numbers += [c.lift, c.floor, c.empty, *c.tables]
            for taps in (c.centre, c.spread):
                numbers += [len(taps), *(number for tap in taps for number in tap)]
        return array("i", numbers).tobytes()
