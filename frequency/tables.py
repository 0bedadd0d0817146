"""Tables: everything trained that the entropy coder uses, frozen as integers in the profile."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Self

from overtone.frequency.bank import BITS, MAX_LENGTH, MAX_TABLES, MIN_LENGTH, TOTAL, Table
from overtone.frequency.channels import DC
from overtone.frequency.context import CONTEXTS
from overtone.frequency.errors import ProfileError
from overtone.frequency.plan import ChannelPlan, Plan, Tap
from overtone.frequency.reading import pairs

Ints = tuple[int, ...]

# A context names its table by one of these.
NAMES: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
EMPTY_BITS: Final = 8
MAX_TAPS: Final = 64
MAX_WEIGHT: Final = 1 << 12
MAX_LIFT: Final = 1 << 12
MAX_FLOOR: Final = 1 << 20
_MAX_SCALED: Final = 1 << 30


@dataclass(frozen=True)
class Tables:
    """For each channel of low + high how to expect it and which table of the bank serves each context.

    `centre` and `spread` hold triples (source, reading, weight) one after another: the channel read, the
    number of the reading (`frequency.reading`), and its weight in 256ths; weights are of coefficients, not of
    steps, so that one set serves all qualities. `base` has three numbers: what the spread gains by the
    centre's distance from zero (64ths), a constant in 1024ths of a step, and one in 16ths of a coefficient.
    `contexts` name the table of each of the 80 contexts by a letter. `empty[q][c]` is how often quality q
    leaves channel c without any number but zero, in 256ths.
    """

    bank: tuple[Table, ...]
    contexts: tuple[str, ...]
    centre: tuple[Ints, ...]
    spread: tuple[Ints, ...]
    base: tuple[Ints, ...]
    empty: tuple[Ints, ...]

    @classmethod
    def from_json(cls, parsed: Any) -> Self:
        """Tables from what `json` made of them, lists already tuples; `check` tells whether they are good."""
        names = {f.name for f in fields(cls)}
        if not isinstance(parsed, dict) or parsed.keys() != names:
            raise ProfileError(f"tables: an object with exactly the keys {sorted(names)}")
        return cls(**parsed)

    def to_json(self) -> dict[str, Any]:
        """What `json` can write."""
        return asdict(self)

    def check(self, channels: Ints, qualities: int) -> None:
        """ProfileError unless they fit these channels and that many qualities."""
        count = len(channels)
        _require(
            _is_tuple(self.bank) and 1 <= len(self.bank) <= MAX_TABLES, f"bank: 1 to {MAX_TABLES} tables"
        )
        for table in self.bank:
            good = _ints(table, 1, TOTAL) and MIN_LENGTH <= len(table) <= MAX_LENGTH and sum(table) == TOTAL
            _require(good, f"bank: {MIN_LENGTH} to {MAX_LENGTH} positive integers each, summing to {TOTAL}")
        for name in ("contexts", "centre", "spread", "base"):
            rows = getattr(self, name)
            _require(
                _is_tuple(rows) and len(rows) == count, f"{name}: need one entry per channel of low + high"
            )
        known = set(NAMES[: len(self.bank)])
        for letters in self.contexts:
            good = isinstance(letters, str) and len(letters) == CONTEXTS and set(letters) <= known
            _require(good, f"contexts: {CONTEXTS} letters each, each of a table in the bank")
        for name, least in (("centre", -MAX_WEIGHT), ("spread", 0)):
            for number, row in enumerate(getattr(self, name)):
                _require(_good_taps(row, number, channels, least), f"{name}: not triples of things to read")
        for row in self.base:
            good = _ints(row, 0, MAX_FLOOR) and len(row) == 3 and row[0] <= MAX_LIFT
            _require(good, "base: three numbers each")
        good = _is_tuple(self.empty) and len(self.empty) == qualities
        good = good and all(_ints(row, 1, (1 << EMPTY_BITS) - 1) and len(row) == count for row in self.empty)
        _require(good, f"empty: one row per quality, 1 to {(1 << EMPTY_BITS) - 1} per channel")

    def plan(self, channels: Ints, band: range, steps: Ints, quality: int) -> Plan:
        """How to code the channels numbered `band`, at these steps; `quality` counts from 0."""
        return Plan(
            first=band.start,
            dc=tuple(c in DC for c in channels[: band.stop]),
            channels=tuple(self._channel(number, steps, self.empty[quality][number]) for number in band),
            tables=self.bank,
        )

    def _channel(self, number: int, steps: Ints, empty: int) -> ChannelPlan:
        step = steps[number]
        lift, floor, noise = self.base[number]
        return ChannelPlan(
            centre=_scaled(self.centre[number], steps, step),
            spread=_scaled(self.spread[number], steps, step),
            lift=lift,
            floor=floor + noise * 64 // step,
            empty=empty << BITS - EMPTY_BITS,
            models=tuple(NAMES.index(letter) for letter in self.contexts[number]),
        )


def triples(flat: Ints) -> list[Ints]:
    """(source, reading, weight) of numbers that follow one another."""
    return [flat[at : at + 3] for at in range(0, len(flat), 3)]


def _scaled(flat: Ints, steps: Ints, step: int) -> tuple[Tap, ...]:
    """Weights of coefficients in 256ths to weights of quantised coefficients in 1024ths of a step."""

    def scaled(source: int, weight: int) -> int:
        exact = (weight * steps[source] * 4 + step // 2) // step
        return max(-_MAX_SCALED, min(_MAX_SCALED, exact))

    return tuple(Tap(source, reading, scaled(source, weight)) for source, reading, weight in triples(flat))


def _good_taps(flat: object, number: int, channels: Ints, least: int) -> bool:
    if not isinstance(flat, tuple) or len(flat) % 3 or len(flat) > 3 * MAX_TAPS:
        return False
    return all(
        _is_int(source, 0, number)
        and _is_int(reading, 0, len(pairs(source == number, channels[source] in DC)) - 1)
        and _is_int(weight, least, MAX_WEIGHT)
        for source, reading, weight in triples(flat)
    )


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ProfileError(f"bad profile: tables: {message}")


def _is_tuple(value: object) -> bool:
    return isinstance(value, tuple)


def _is_int(value: object, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _ints(value: Sequence[object], least: int, most: int) -> bool:
    return isinstance(value, tuple) and bool(value) and all(_is_int(v, least, most) for v in value)
