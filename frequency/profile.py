"""The profile: everything that a device must know of a checkpoint to encode images for it."""

import hashlib
import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from overtone.frequency.channels import BLOCK, COUNT, HIGH, LOW
from overtone.frequency.coding_plan import CodingPlan
from overtone.frequency.errors import ProfileError
from overtone.frequency.ladder import TWO_LAYERS, Layer, check_ladder
from overtone.frequency.prior import prior_tables
from overtone.frequency.quantise import PLAIN
from overtone.frequency.tables import Tables

MAX_SIZE: Final = 2048
MAX_STEP: Final = 65_535
# Keys that are left out of the JSON where they say nothing, so that older profiles keep their ids.
OPTIONAL: Final = frozenset({"thresholds", "ladder", "whole"})
MAX_JSON: Final = 4 << 20  # bytes: the most that a hostile server can make a device inflate


@dataclass(frozen=True)
class Profile:
    """Image size, channels, ladder, steps, tables and labels. Immutable, and checked when it is made.

    `steps[q][c]` belongs to `qualities[q]` and channel `(low + high)[c]`. Qualities ascend, the first taking the
    fewest bytes; `quality` is the default. From `thresholds[q]` hundredths of a step on, a value is rounded
    away from zero; where there are no thresholds, values are rounded to nearest. `ladder` lists the layers of
    payloads, the same ones at every quality. A part of a profile (see `profile_part`) has no labels, and tables of
    the first layers only; `whole` is the id of the whole, in hexadecimal.

    Raises:
        ProfileError: a field is wrong; the message says which one, and why.
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
    ladder: tuple[Layer, ...] = TWO_LAYERS
    whole: str = ""

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
        ladder: tuple[Layer, ...] = TWO_LAYERS,
    ) -> Self:
        """A profile that needs no images: qualities 1 to n with one step for all channels, and prior tables.

        It serves tests and first trials. For real images, replace its tables with some that were fitted to such
        images (`overtone.training.table_fitting`).
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
            tables=prior_tables(low + high, len(low), ladder, len(each)),
            labels=tuple(labels),
            ladder=ladder,
        )

    @property
    def blocks(self) -> int:
        """Blocks along each side of the image: the height and width of a channel."""
        return self.size // BLOCK

    @property
    def layers(self) -> int:
        """The number of layers that it has tables for: all of the ladder, unless it is a part."""
        return len(self.tables.layers)

    @cached_property
    def id(self) -> bytes:
        """Four bytes that name this profile: the first of the SHA-256 of the whole's canonical JSON."""
        if self.whole:
            return bytes.fromhex(self.whole)
        return hashlib.sha256(self.to_json().encode()).digest()[:4]

    def index(self, quality: int) -> int:
        """The index of a quality in `qualities`, and so in `steps`.

        Raises:
            ProfileError: the profile has no such quality.
        """
        if quality not in self.qualities:
            raise ProfileError(f"no quality {quality!r}; this profile has {list(self.qualities)}")
        return self.qualities.index(quality)

    def threshold(self, quality: int) -> float:
        """The fraction of a step from which a value is rounded away from zero, for `quantise`."""
        index = self.index(quality)
        return self.thresholds[index] / 100 if self.thresholds else PLAIN

    def low_steps(self, quality: int) -> NDArray[np.float32]:
        """float32[C]: the steps of the low channels."""
        return np.array(self.steps[self.index(quality)][: len(self.low)], dtype=np.float32)

    def channels_of(self, layer: int) -> slice:
        """The numbers, in low + high, of the channels that a layer codes."""
        split = len(self.low)
        return slice(split) if self.ladder[layer].band == "low" else slice(split, split + len(self.high))

    def known_steps(self, quality: int, layers: int) -> NDArray[np.float32]:
        """The steps float32[C] of the values after the first `layers` layers; C is that of low, or of low + high."""
        found = np.array(self.steps[self.index(quality)], dtype=np.float32)
        count = len(self.low)
        for number, layer in enumerate(self.ladder[:layers]):
            if layer.band == "high":
                count = len(found)
            channels = self.channels_of(number)
            found[channels] = np.array(self.steps[self.index(quality)], np.float32)[channels] * layer.factor
        return found[:count]

    def plan(self, layer: int, quality: int) -> CodingPlan:
        """The coding plan of a layer at a quality, computed once and cached.

        Raises:
            ProfileError: this is a part without such a layer or quality.
        """
        if layer >= self.layers:
            raise ProfileError(f"no tables for layer {layer + 1}; this part has {self.layers}")
        key = (layer, self.index(quality))
        if key not in self._plans:
            steps = self.steps[key[1]]
            self._plans[key] = self.tables.plan(
                self.low + self.high, len(self.low), self.ladder, layer, steps, key[1]
            )
        return self._plans[key]

    @cached_property
    def _plans(self) -> dict[tuple[int, int], CodingPlan]:
        return {}

    def to_json(self) -> str:
        """Canonical JSON, of which the id is computed: keys sorted, no spaces, non-ASCII letters as they are.

        The keys of thresholds and ladder are left out where there are none or the usual two layers, so that
        profiles from before there were such keys keep their ids.
        """
        values = {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.name not in OPTIONAL or getattr(self, f.name) != f.default
        }
        return json.dumps(
            values | {"tables": self.tables.to_json()},
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=False,
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The profile of some JSON, canonical or not.

        Raises:
            ProfileError: the text is not JSON, a key is unknown or missing, or a value is wrong.
        """
        try:
            parsed = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ProfileError(f"the profile is not JSON ({error})") from None
        names = {f.name for f in fields(cls)}
        if not isinstance(parsed, dict) or parsed.keys() | OPTIONAL != names:
            raise ProfileError(
                f"a profile is a JSON object with the keys {sorted(names)}, of which {sorted(OPTIONAL)} are optional"
            )
        values = {key: frozen(value) for key, value in parsed.items()}
        values["tables"] = Tables.from_json(values["tables"])
        if "ladder" in values:
            values["ladder"] = check_ladder(values["ladder"])
        return cls(**values)

    def pack(self) -> bytes:
        """The canonical JSON compressed with zlib, as it is sent to devices."""
        return zlib.compress(self.to_json().encode(), 9)

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """The inverse of `pack`.

        Raises:
            ProfileError: it is damaged, or inflates to more than `MAX_JSON` bytes.
        """
        inflate = zlib.decompressobj()
        try:
            text = inflate.decompress(packed, MAX_JSON)
        except zlib.error as error:
            raise ProfileError(f"the packed profile is damaged ({error})") from None
        if not inflate.eof or inflate.unused_data:
            raise ProfileError(f"the packed profile is cut short, too long, or above {MAX_JSON} bytes")
        return cls.from_json(text)


def frozen(value: Any, depth: int = 8) -> Any:
    """Lists made tuples, in objects too; nothing in a profile is nested deeper than eight levels."""
    if isinstance(value, dict) and depth:
        return {key: frozen(v, depth - 1) for key, v in value.items()}
    return tuple(frozen(v, depth - 1) for v in value) if isinstance(value, list) and depth else value


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
    _require(len(set(channels)) == len(channels), "low, high: a channel appears twice")
    _require(_ints(p.qualities, 0, 255), "qualities: integers from 0 to 255, at least one")
    _require(all(a < b for a, b in pairwise(p.qualities)), "qualities: not ascending")
    _require(_is_int(p.quality, 0, 255) and p.quality in p.qualities, "quality: not one of qualities")
    shaped = _is_tuple(p.steps, len(p.qualities)) and all(_is_tuple(r, len(channels)) for r in p.steps)
    _require(shaped, "steps: need one row per quality and one entry per channel of low + high")
    _require(all(_ints(row, 1, MAX_STEP) for row in p.steps), f"steps: integers from 1 to {MAX_STEP}")
    _require(isinstance(p.tables, Tables), "tables: not tables")
    one_each = _ints(p.thresholds, 50, 99) and len(p.thresholds) == len(p.qualities)
    _require(p.thresholds == () or one_each, "thresholds: need one from 50 to 99 per quality, or none")
    check_ladder(p.ladder)
    p.tables.check(channels, len(p.low), p.ladder, len(p.qualities), part=bool(p.whole))


def _check_names(p: Profile) -> None:
    _require(_is_text(p.name), "name: a non-empty text")
    named = isinstance(p.whole, str) and re.fullmatch("([0-9a-f]{8})?", p.whole)
    _require(bool(named), "whole: the id of a profile")
    good = (
        isinstance(p.labels, tuple) and (p.labels or p.whole) and all(_is_text(label) for label in p.labels)
    )
    _require(bool(good), "labels: at least one, none empty")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ProfileError(f"bad profile: {message}")


def _is_text(value: object) -> bool:
    # A lone surrogate cannot be encoded as UTF-8, so there would be no id.
    return isinstance(value, str) and bool(value) and not any("\ud800" <= c <= "\udfff" for c in value)


def _is_tuple(value: object, length: int) -> bool:
    return isinstance(value, tuple) and len(value) == length


def _is_int(value: object, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _ints(value: object, least: int, most: int) -> bool:
    return isinstance(value, tuple) and bool(value) and all(_is_int(v, least, most) for v in value)
