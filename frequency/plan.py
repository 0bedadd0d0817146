"""A plan: the tables of one band at one quality, made ready for coding by both implementations."""

from array import array
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

from overtone.frequency.bank import Table


class Tap(NamedTuple):
    """A reading of a channel (`source` counts through low + high) and its weight in 1024ths of a step."""

    source: int
    reading: int
    weight: int


class Model(NamedTuple):
    """A table and where the interval of each of its symbols starts."""

    frequencies: Table
    starts: tuple[int, ...]


@dataclass(frozen=True)
class ChannelPlan:
    """How one channel is coded: `models` are numbers in the bank by context, `empty` is out of 16384."""

    centre: tuple[Tap, ...]
    spread: tuple[Tap, ...]
    lift: int
    floor: int
    empty: int
    models: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """How the channels from `first` on are coded; `dc` says of each up to the last whether it is one."""

    first: int
    dc: tuple[bool, ...]
    channels: tuple[ChannelPlan, ...]
    tables: tuple[Table, ...]

    @cached_property
    def bank(self) -> tuple[Model, ...]:
        """The tables with the starts of their intervals."""
        return tuple(Model(t, (0, *accumulate(t[:-1]))) for t in self.tables)

    @cached_property
    def packed(self) -> bytes:
        """All of it as 32-bit integers of this machine, for the C twin."""
        numbers = [self.first, len(self.channels), *map(int, self.dc), len(self.tables)]
        for table in self.tables:
            numbers += [len(table), *table]
        for c in self.channels:
            numbers += [c.lift, c.floor, c.empty, *c.models]
            for taps in (c.centre, c.spread):
                numbers += [len(taps), *(number for tap in taps for number in tap)]
        return array("i", numbers).tobytes()
