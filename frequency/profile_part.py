"""A part of a profile: the tables that a device needs for the first layers at one quality, in a compact form.

It is the LZMA2 stream, raw and with `FILTERS`, of a header and of columns, in which like stands beside like. The header
is a JSON object of the profile's fields but for tables, after its size as LEB128. Then, for one layer after the other,
come the columns of `_Columns`. Numbers of two bytes come as all upper bytes and then all lower ones. The last entry of
a table is left out, as the sum is known. `docs/protocol.md` describes the columns.
"""

import json
import lzma
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any, Final

import numpy as np

from overtone.frequency.context import contexts
from overtone.frequency.errors import ProfileError
from overtone.frequency.frequency_tables import TOTAL
from overtone.frequency.ladder import check_ladder
from overtone.frequency.network import OUTPUTS
from overtone.frequency.profile import Profile, frozen
from overtone.frequency.tables import CodedChannels, LayerTables, Network, Tables, coded_channels
from overtone.frequency.varint import read_varint, write_varint

# The dictionary is as large as the data at most, so that a small device can hold it.
FILTERS: Final = (
    {
        "id": lzma.FILTER_LZMA2,
        "preset": 9 | lzma.PRESET_EXTREME,
        "dict_size": 1 << 17,
        "lc": 0,
        "lp": 0,
        "pb": 0,
    },
)
MAX_BYTES: Final = 1 << 20  # the most that a hostile server can make a device inflate


def part_of(profile: Profile, quality: int | None = None, layers: int | None = None) -> Profile:
    """The profile without labels, for one quality (the default one if None) and the first so many layers.

    It keeps the id of the whole, because it writes the same payloads; only a first layer's sizes of layers beyond
    `layers` are 0.

    Raises:
        ProfileError: the profile has no such quality or layers.
    """
    index = profile.index(profile.quality if quality is None else quality)
    count = profile.layers if layers is None else layers
    if not 0 < count <= profile.layers:
        raise ProfileError(f"no {count} layers; the profile has {profile.layers}")
    tables = [replace(layer, empty=(layer.empty[index],)) for layer in profile.tables.layers[:count]]
    return replace(
        profile,
        qualities=(profile.qualities[index],),
        quality=profile.qualities[index],
        steps=(profile.steps[index],),
        thresholds=profile.thresholds[index : index + 1],
        tables=Tables(tuple(tables)),
        labels=(),
        whole=profile.id.hex(),
    )


def pack_part(profile: Profile, after: int = 0) -> bytes:
    """A part in its compact form, without the tables of the first `after` layers."""
    header = {f.name: getattr(profile, f.name) for f in fields(profile) if f.name != "tables"}
    text = json.dumps(header | {"after": after}, separators=(",", ":")).encode()
    columns = [_Columns.of(layer).pack() for layer in profile.tables.layers[after:]]
    body = write_varint(len(text)) + text + b"".join(columns)
    return lzma.compress(body, lzma.FORMAT_RAW, filters=FILTERS)


def unpack_part(packed: bytes, before: Profile | None = None) -> Profile:
    """The inverse of `pack_part`; `before` has the tables of the layers that were left out.

    Raises:
        ProfileError: it is damaged, or does not follow `before`.
    """
    reader = _Reader(_inflated(packed))
    try:
        header = json.loads(reader.take(reader.varint()))
        values = {key: frozen(value) for key, value in dict(header).items()}
        after, ladder = values.pop("after"), check_ladder(values.pop("ladder"))
        known = before.tables.layers if before else ()
        if after != len(known) or (before and values["whole"] != before.id.hex()):
            raise ProfileError("the part of a profile does not belong to what is known of it")
        tables, layers = list(known), len(values["qualities"])
        while reader.left:
            at = coded_channels(ladder, len(tables), len(values["low"]), len(values["low"] + values["high"]))
            tables.append(_Columns.read(reader, at, layers).tables())
        return Profile(**values, ladder=ladder, tables=Tables(tuple(tables)))
    except (ValueError, LookupError, TypeError) as error:
        if isinstance(error, ProfileError):
            raise
        raise ProfileError(f"the part of a profile is damaged ({error})") from None


def _inflated(packed: bytes) -> bytes:
    inflate = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=FILTERS)
    try:
        body = inflate.decompress(packed, MAX_BYTES)
    except lzma.LZMAError as error:
        raise ProfileError(f"the part of a profile is damaged ({error})") from None
    if not inflate.eof or inflate.unused_data:
        raise ProfileError(f"the part of a profile is cut short, too long, or above {MAX_BYTES} bytes")
    return body


class _Reader:
    """Reads bytes one after the other.

    Raises:
        ValueError: there are not as many.
    """

    def __init__(self, body: bytes) -> None:
        self._body, self._at = body, 0

    @property
    def left(self) -> int:
        return len(self._body) - self._at

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise ValueError("it ends too early")
        self._at += size
        return self._body[self._at - size : self._at]

    def varint(self) -> int:
        value, self._at = read_varint(self._body, self._at)
        return value

    def words(self, count: int) -> list[int]:
        halves = np.frombuffer(self.take(2 * count), np.uint8).reshape(2, count)
        found: list[int] = (halves[0].astype(np.int16) << 8 | halves[1]).tolist()
        return found


def _words(values: Iterable[int]) -> bytes:
    numbers = np.array([*values], np.int16)
    return ((numbers >> 8) & 255).astype(np.uint8).tobytes() + (numbers & 255).astype(np.uint8).tobytes()


@dataclass(frozen=True)
class _Columns:
    """The tables of one layer."""

    bank: Sequence[tuple[int, ...]]
    contexts: str
    networks: Sequence[Network]
    empty: Sequence[tuple[int, ...]]

    @classmethod
    def of(cls, layer: LayerTables) -> "_Columns":
        return cls(layer.bank, layer.contexts, layer.networks, layer.empty)

    def pack(self) -> bytes:
        nets = self.networks
        sizes = [x for n in nets for x in (len(n.taps) // 2, len(n.globals), len(n.bias))]
        return b"".join(
            [
                bytes([len(self.bank), *map(len, self.bank), *sizes]),
                bytes(x for row in self.empty for x in row),
                self.contexts.encode("ascii"),
                bytes(x for n in nets for x in n.taps[::2]),
                bytes(x for n in nets for x in n.taps[1::2]),
                bytes(x for n in nets for x in n.globals),
                _words(x for n in nets for x in n.centre),
                _words(x for n in nets for x in (*n.bias, *n.output_bias)),
                "".join(n.output for n in nets).encode("ascii"),
                "".join(n.hidden for n in nets).encode("ascii"),
                _words(x for table in self.bank for x in table[:-1]),
            ]
        )

    @classmethod
    def read(cls, reader: _Reader, at: CodedChannels, qualities: int) -> "_Columns":
        channels = len(at.band)
        lengths = reader.take(reader.take(1)[0])
        sizes = [(*reader.take(3),) for _ in range(channels)]
        taps, planes, units = zip(*sizes, strict=True)
        empty = [(*reader.take(channels),) for _ in range(qualities)]
        letters = reader.take(contexts(at.refines)).decode("ascii")
        sources, places = (_split(reader.take(sum(taps)), taps) for _ in range(2))
        found = zip(
            (
                tuple(x for tap in zip(s, p, strict=True) for x in tap)
                for s, p in zip(sources, places, strict=True)
            ),
            _split(reader.take(sum(planes)), planes),
            _split(reader.words(sum(taps)), taps),
            _split(reader.words(sum(units) + OUTPUTS * channels), [u + OUTPUTS for u in units]),
            _split(reader.take(OUTPUTS * sum(units)).decode("ascii"), [OUTPUTS * u for u in units]),
            _hidden(reader, sizes),
            strict=True,
        )
        networks = [
            Network(
                taps=t,
                centre=c,
                globals=(*g,),
                bias=b[:-OUTPUTS],
                hidden=h,
                output=o,
                output_bias=b[-OUTPUTS:],
            )
            for t, g, c, b, o, h in found
        ]
        bank = _split(reader.words(sum(lengths) - len(lengths)), [length - 1 for length in lengths])
        return cls([(*t, TOTAL - sum(t)) for t in bank], letters, networks, empty)

    def tables(self) -> LayerTables:
        return LayerTables(tuple(self.bank), self.contexts, tuple(self.networks), tuple(self.empty))


def _hidden(reader: _Reader, sizes: Sequence[tuple[int, ...]]) -> list[str]:
    """The letters of hidden units: as many for each as `Network.inputs` says."""
    counts = [(2 * taps + 6 + planes) * units for taps, planes, units in sizes]
    return _split(reader.take(sum(counts)).decode("ascii"), counts)


def _split(column: Any, sizes: Sequence[int]) -> list[Any]:
    """A column in pieces of these sizes; numbers as tuples."""
    ends = np.cumsum([0, *sizes]).tolist()
    pieces = [column[a:b] for a, b in pairwise(ends)]
    return pieces if isinstance(column, str) else [tuple(piece) for piece in pieces]
