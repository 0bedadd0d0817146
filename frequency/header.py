"""The header of a payload: what it is, for which profile, and a checksum.

byte 0      version << 4 | band (0 low, 1 high)
byte 1      quality
bytes 2-5   profile id
bytes 6-9   CRC-32, least byte first, of the rest of the header and the body
low only    size in bytes of the high payload of the same picture, a varint
"""

import zlib
from dataclasses import dataclass
from typing import Final, Literal

from frequency.errors import PayloadError
from frequency.varint import read_varint, write_varint

Band = Literal["low", "high"]

VERSION: Final = 1
FIXED_BYTES: Final = 10
_CRC: Final = slice(6, 10)
_BANDS: Final[tuple[Band, ...]] = ("low", "high")


@dataclass(frozen=True)
class Header:
    """What a payload says of itself; `high_size` is None in a high one, `length` is the header's own."""

    version: int
    band: Band
    quality: int
    profile_id: bytes
    crc: int
    high_size: int | None
    length: int


def read_header(payload: bytes) -> Header:
    """The header of a payload, or of the low payload at the front of low and high joined.

    The checksum is not looked at: that takes the whole payload, and `decode_low` and `decode_high` do it.

    Raises:
        PayloadError: too short, or of an unknown version or band.
    """
    if len(payload) < FIXED_BYTES:
        raise PayloadError(f"not a payload: {len(payload)} bytes are too few")
    version, band = payload[0] >> 4, payload[0] & 0x0F
    if version != VERSION:
        raise PayloadError(f"not a payload of version {VERSION}")
    if band >= len(_BANDS):
        raise PayloadError("damaged payload: neither low nor high")
    high_size, length = read_varint(payload, FIXED_BYTES) if band == 0 else (None, FIXED_BYTES)
    crc = int.from_bytes(payload[_CRC], "little")
    return Header(VERSION, _BANDS[band], payload[1], bytes(payload[2:6]), crc, high_size, length)


def write_payload(
    band: Band, quality: int, profile_id: bytes, body: bytes, *, high_size: int | None = None, seed: int = 0
) -> bytes:
    """A payload of this body; `high_size` in low ones only, `seed` as in `checksum`."""
    start = bytes([VERSION << 4 | _BANDS.index(band), quality]) + profile_id
    rest = (b"" if high_size is None else write_varint(high_size)) + body
    return start + zlib.crc32(start + rest, seed).to_bytes(4, "little") + rest


def checksum(payload: bytes, seed: int = 0) -> int:
    """CRC-32 of a payload without its CRC field, begun at `seed`: for high, the CRC-32 of the low array."""
    return zlib.crc32(payload[_CRC.stop :], zlib.crc32(payload[: _CRC.start], seed))
