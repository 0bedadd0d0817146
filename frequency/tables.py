"""Tables: everything that the entropy coder has learned from images, as integers in the profile."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Self

from overtone.frequency.channels import DC
from overtone.frequency.coding_plan import ChannelPlan, CodingPlan, Tap
from overtone.frequency.context import CONTEXTS
from overtone.frequency.errors import ProfileError
from overtone.frequency.frequency_tables import BITS, MAX_LENGTH, MAX_TABLES, MIN_LENGTH, TOTAL, Table
from overtone.frequency.neighbours import features

Ints = tuple[int, ...]

# Each context names its table of the bank by one of these letters.
NAMES: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
EMPTY_BITS: Final = 8
MAX_TAPS: Final = 64
MAX_WEIGHT: Final = 1 << 12
MAX_LIFT: Final = 1 << 12
MAX_FLOOR: Final = 1 << 20
_MAX_SCALED: Final = 1 << 30


@dataclass(frozen=True)
class Tables:
    """How to predict each channel of low + high, and which table of the bank serves which context.

    The names of the fields are keys of the profile's JSON, of which the profile's id is computed.

    Attributes:
        bank: the frequency tables.
        contexts: for each channel, a letter for each of the 80 contexts, which names its table.
        centre: for each channel, triples (source, feature, weight) one after another: the channel that is read,
            the number of the feature (see `neighbours`), and its weight in 256ths. Weights apply to coefficients,
            not to multiples of a step, so that one set serves all qualities.
        spread: the same for the spread; no weight is negative.
        base: for each channel, three numbers that are added to the spread: a factor of the centre's distance from
            zero in 64ths, a constant in 1024ths of a step, and a constant in 16ths of a coefficient's unit.
        empty: for each quality and channel, how often the channel holds nothing but zeros, in 256ths.
    """

    bank: tuple[Table, ...]
    contexts: tuple[str, ...]
    centre: tuple[Ints, ...]
    spread: tuple[Ints, ...]
    base: tuple[Ints, ...]
    empty: tuple[Ints, ...]

    @classmethod
    def from_json(cls, parsed: Any) -> Self:
        """Tables from parsed JSON whose lists have been made tuples; they are checked by `check` only.

        Raises:
            ProfileError: a key is missing or unknown.
        """
        names = {f.name for f in fields(cls)}
        if not isinstance(parsed, dict) or parsed.keys() != names:
            raise ProfileError(f"tables: an object with exactly the keys {sorted(names)}")
        return cls(**parsed)

    def to_json(self) -> dict[str, Any]:
        """The tables as `json` writes them."""
        return asdict(self)

    def check(self, channels: Ints, qualities: int) -> None:
        """Check every number against these channels and that many qualities.

        Raises:
            ProfileError: a number is missing or out of bounds.
        """
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
                _require(
                    _good_taps(row, number, channels, least),
                    f"{name}: not triples of source, feature and weight",
                )
        for row in self.base:
            good = _ints(row, 0, MAX_FLOOR) and len(row) == 3 and row[0] <= MAX_LIFT
            _require(good, "base: three numbers each")
        good = _is_tuple(self.empty) and len(self.empty) == qualities
        good = good and all(_ints(row, 1, (1 << EMPTY_BITS) - 1) and len(row) == count for row in self.empty)
        _require(good, f"empty: one row per quality, 1 to {(1 << EMPTY_BITS) - 1} per channel")

    def plan(self, channels: Ints, band: range, steps: Ints, quality: int) -> CodingPlan:
        """How to code the channels numbered `band` at these steps; `quality` is an index that counts from 0."""
        return CodingPlan(
            first=band.start,
            dc=tuple(c in DC for c in channels[: band.stop]),
            channels=tuple(self._channel(number, steps, self.empty[quality][number]) for number in band),
            bank=self.bank,
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
            tables=tuple(NAMES.index(letter) for letter in self.contexts[number]),
        )


def triples(flat: Ints) -> list[Ints]:
    """The triples (source, feature, weight) of a flat list of numbers."""
    return [flat[at : at + 3] for at in range(0, len(flat), 3)]


def _scaled(flat: Ints, steps: Ints, step: int) -> tuple[Tap, ...]:
    """Weights in 256ths of coefficients as weights in 1024ths of a step of quantised coefficients."""

    def scaled(source: int, weight: int) -> int:
        exact = (weight * steps[source] * 4 + step // 2) // step
        return max(-_MAX_SCALED, min(_MAX_SCALED, exact))

    return tuple(Tap(source, feature, scaled(source, weight)) for source, feature, weight in triples(flat))


def _good_taps(flat: object, number: int, channels: Ints, least: int) -> bool:
    if not isinstance(flat, tuple) or len(flat) % 3 or len(flat) > 3 * MAX_TAPS:
        return False
    return all(
        _is_int(source, 0, number)
        and _is_int(feature, 0, len(features(source == number, channels[source] in DC)) - 1)
        and _is_int(weight, least, MAX_WEIGHT)
        for source, feature, weight in triples(flat)
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
