"""The header of a payload: its kind, its profile, and half of a checksum.

byte 0      version << 4 | band (0 low, 1 high)
byte 1      quality
2 bytes     upper half of the checksum, little-endian; the lower half is the state in which the rANS coder ends
low only    profile id, 4 bytes
low only    size in bytes of the high payload of the same image, a varint

The checksum covers the contents and not the bytes: it is a CRC-32 of the header (with the checksum left zero),
the profile id and the coefficients; for high, the coefficients of low come before its own. A high payload
therefore need not name its profile: decoded with another profile, or with the low of another image, it fails the
checksum.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from overtone.frequency.errors import PayloadError
from overtone.frequency.varint import MAX_BYTES, read_varint, write_varint

Band = Literal["low", "high"]

VERSION: Final = 2
HIGH_BYTES: Final = 4
LOW_BYTES: Final = 8  # and the varint
LARGEST: Final = LOW_BYTES + MAX_BYTES
_CHECK: Final = slice(2, 4)
_ID: Final = slice(4, 8)
_BANDS: Final[tuple[Band, ...]] = ("low", "high")


@dataclass(frozen=True)
class Header:
    """The header of a payload; `profile_id` and `high_size` are None in a high payload.

    `check` is the upper half of the checksum, `length` the size of the header in bytes.
    """

    version: int
    band: Band
    quality: int
    profile_id: bytes | None
    check: int
    high_size: int | None
    length: int


def read_header(payload: bytes) -> Header:
    """The header of a payload, or of the low payload in front where low and high are joined.

    The checksum is not verified here, because that takes the coefficients; `decode_low` and `decode_high` verify
    it.

    Raises:
        PayloadError: the payload is too short, or of an unknown version or band.
    """
    if len(payload) < HIGH_BYTES:
        raise PayloadError(f"not a payload: {len(payload)} bytes are too few")
    version, band = payload[0] >> 4, payload[0] & 0x0F
    if version != VERSION:
        raise PayloadError(f"not a payload of version {VERSION}")
    if band >= len(_BANDS):
        raise PayloadError("damaged payload: neither low nor high")
    check = int.from_bytes(payload[_CHECK], "little")
    if band:
        return Header(VERSION, "high", payload[1], None, check, None, HIGH_BYTES)
    if len(payload) <= LOW_BYTES:
        raise PayloadError(f"not a low payload: {len(payload)} bytes are too few")
    high_size, length = read_varint(payload, LOW_BYTES)
    return Header(VERSION, "low", payload[1], bytes(payload[_ID]), check, high_size, length)


def write_header(
    band: Band, quality: int, check: int, profile_id: bytes = b"", high_size: int | None = None
) -> bytes:
    """A header; `profile_id` and `high_size` are given for low only."""
    start = bytes([VERSION << 4 | _BANDS.index(band), quality]) + check.to_bytes(2, "little")
    return start if high_size is None else start + profile_id + write_varint(high_size)


def checksum(
    band: Band, quality: int, profile_id: bytes, high_size: int | None, planes: Iterable[NDArray[np.int16]]
) -> int:
    """CRC-32 of a payload's contents: band, quality, profile, size of high, and coefficients (see above)."""
    crc = zlib.crc32(write_header(band, quality, 0) + profile_id + write_varint(high_size or 0))
    for values in planes:
        crc = zlib.crc32(values.astype("<i2").tobytes(), crc)
    return crc
