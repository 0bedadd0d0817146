"""The profile: everything a device must know to encode for a checkpoint."""

import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from overtone.frequency.channels import BLOCK, COUNT, HIGH, LOW
from overtone.frequency.errors import ProfileError
from overtone.frequency.header import Band
from overtone.frequency.plan import Plan
from overtone.frequency.prior import prior_tables
from overtone.frequency.quantise import PLAIN
from overtone.frequency.tables import Tables

MAX_SIZE: Final = 2048
MAX_STEP: Final = 65_535
OPTIONAL: Final = "thresholds"
MAX_JSON: Final = 4 << 20  # bytes; the largest thing a hostile server can make a device inflate


@dataclass(frozen=True)
class Profile:
    """Picture size, channels, steps, tables and labels. Checked when made, and immutable.

    `steps[q][c]` belongs to `qualities[q]` and channel `(low + high)[c]`. Qualities ascend, the first with
    the fewest bytes; `quality` is the default. `thresholds[q]`, in hundredths of a step, is from where a
    value is rounded away from zero; without them all round to nearest.

    Raises:
        ProfileError: it does not hold together; the message says which field and why.
    """

    name: str
    size: int
    low: tuple[int, ...]
    high: tuple[int, ...]
    qualities: tuple[int, ...]
    quality: int
    steps: tuple[tuple[int, ...], ...]
    tables: Tables
    labels: tuple[str, ...]
    thresholds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _check(self)

    @classmethod
    def uniform(
        cls,
        labels: Sequence[str],
        *,
        size: int = 224,
        steps: Sequence[int] = (64, 32, 16),
        name: str = "uniform",
        low: tuple[int, ...] = LOW,
        high: tuple[int, ...] = HIGH,
    ) -> Self:
        """A profile without data: one step for all channels per quality, 1 to n, and tables made up.

        Good for tests and first trials; `fit_tables` and `dataclasses.replace` make it fit real pictures.
        """
        each = tuple((step,) * len(low + high) for step in steps)
        return cls(
            name=name,
            size=size,
            low=low,
            high=high,
            qualities=tuple(range(1, len(each) + 1)),
            quality=len(each) // 2 + 1,
            steps=each,
            tables=prior_tables(low + high, len(each)),
            labels=tuple(labels),
        )

    @property
    def blocks(self) -> int:
        """Blocks along each side of the picture: the height and width of a channel."""
        return self.size // BLOCK

    @cached_property
    def id(self) -> bytes:
        """Four bytes that name this profile: the start of SHA-256 of its canonical JSON."""
        return hashlib.sha256(self.to_json().encode()).digest()[:4]

    def index(self, quality: int) -> int:
        """Where a quality stands in `steps` and `tables`; ProfileError if it is not one of this profile's."""
        if quality not in self.qualities:
            raise ProfileError(f"no quality {quality!r}; this profile has {list(self.qualities)}")
        return self.qualities.index(quality)

    def threshold(self, quality: int) -> float:
        """The part of a step from which a value is rounded away from zero, for `quantise`."""
        index = self.index(quality)
        return self.thresholds[index] / 100 if self.thresholds else PLAIN

    def low_steps(self, quality: int) -> NDArray[np.float32]:
        """float32[C]: the steps of the low channels."""
        return np.array(self.steps[self.index(quality)][: len(self.low)], dtype=np.float32)

    def high_steps(self, quality: int) -> NDArray[np.float32]:
        """float32[C]: the steps of the high channels."""
        return np.array(self.steps[self.index(quality)][len(self.low) :], dtype=np.float32)

    def plan(self, band: Band, quality: int) -> Plan:
        """How to code a band at a quality; made once and kept."""
        key = (band, self.index(quality))
        if key not in self._plans:
            channels, split = self.low + self.high, len(self.low)
            numbers = range(split) if band == "low" else range(split, len(channels))
            self._plans[key] = self.tables.plan(channels, numbers, self.steps[key[1]], key[1])
        return self._plans[key]

    @cached_property
    def _plans(self) -> dict[tuple[Band, int], Plan]:
        return {}

    def to_json(self) -> str:
        """Canonical JSON: keys sorted, no spaces, non-ASCII letters as they are. The id is computed on it.

        Thresholds stand in it only where there are any, so that profiles without keep their ids.
        """
        values = {
            f.name: getattr(self, f.name) for f in fields(self) if f.name != OPTIONAL or self.thresholds
        }
        return json.dumps(
            values | {"tables": self.tables.to_json()},
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=False,
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The profile in JSON, canonical or not.

        Raises:
            ProfileError: not JSON, unknown or missing keys, wrong types, or `Profile` itself objects.
        """
        try:
            parsed = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ProfileError(f"the profile is not JSON ({error})") from None
        names = {f.name for f in fields(cls)}
        if not isinstance(parsed, dict) or parsed.keys() | {OPTIONAL} != names:
            raise ProfileError(
                f"a profile is a JSON object with the keys {sorted(names)}, {OPTIONAL} if it has any"
            )
        values = {key: _frozen(value) for key, value in parsed.items()}
        return cls(**values | {"tables": Tables.from_json(values["tables"])})

    def pack(self) -> bytes:
        """Canonical JSON under zlib: what crosses the wire."""
        return zlib.compress(self.to_json().encode(), 9)

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """The inverse of `pack`; ProfileError if it is damaged or inflates to more than `MAX_JSON`."""
        inflate = zlib.decompressobj()
        try:
            text = inflate.decompress(packed, MAX_JSON)
        except zlib.error as error:
            raise ProfileError(f"the packed profile is damaged ({error})") from None
        if not inflate.eof or inflate.unused_data:
            raise ProfileError(f"the packed profile is cut short, too long, or above {MAX_JSON} bytes")
        return cls.from_json(text)


def _frozen(value: Any, depth: int = 4) -> Any:
    """Lists to tuples, in objects too; nothing in a profile is nested deeper than four."""
    if isinstance(value, dict) and depth:
        return {key: _frozen(v, depth - 1) for key, v in value.items()}
    return tuple(_frozen(v, depth - 1) for v in value) if isinstance(value, list) and depth else value


def _check(p: Profile) -> None:
    _check_names(p)
    _require(
        _is_int(p.size, BLOCK, MAX_SIZE) and p.size % BLOCK == 0, f"size: a multiple of 8 up to {MAX_SIZE}"
    )
    for name in ("low", "high"):
        _require(
            _ints(getattr(p, name), 0, COUNT - 1),
            f"{name}: channel indices from 0 to {COUNT - 1}, at least one",
        )
    channels = p.low + p.high
    _require(len(set(channels)) == len(channels), "low, high: a channel stands twice")
    _require(_ints(p.qualities, 0, 255), "qualities: integers from 0 to 255, at least one")
    _require(all(a < b for a, b in pairwise(p.qualities)), "qualities: not ascending")
    _require(_is_int(p.quality, 0, 255) and p.quality in p.qualities, "quality: not one of qualities")
    shaped = _is_tuple(p.steps, len(p.qualities)) and all(_is_tuple(r, len(channels)) for r in p.steps)
    _require(shaped, "steps: need one row per quality and one entry per channel of low + high")
    _require(all(_ints(row, 1, MAX_STEP) for row in p.steps), f"steps: integers from 1 to {MAX_STEP}")
    _require(isinstance(p.tables, Tables), "tables: not tables")
    one_each = _ints(p.thresholds, 50, 99) and len(p.thresholds) == len(p.qualities)
    _require(p.thresholds == () or one_each, "thresholds: need one from 50 to 99 per quality, or none")
    p.tables.check(channels, len(p.qualities))


def _check_names(p: Profile) -> None:
    _require(_is_text(p.name), "name: a non-empty text")
    good = isinstance(p.labels, tuple) and p.labels and all(_is_text(label) for label in p.labels)
    _require(bool(good), "labels: at least one, none empty")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ProfileError(f"bad profile: {message}")


def _is_text(value: object) -> bool:
    # A lone surrogate is a str that has no UTF-8, hence no id.
    return isinstance(value, str) and bool(value) and not any("\ud800" <= c <= "\udfff" for c in value)


def _is_tuple(value: object, length: int) -> bool:
    return isinstance(value, tuple) and len(value) == length


def _is_int(value: object, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _ints(value: object, least: int, most: int) -> bool:
    return isinstance(value, tuple) and bool(value) and all(_is_int(v, least, most) for v in value)
