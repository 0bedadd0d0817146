"""The header of a payload: its layer, its profile, and half of a checksum.

byte 0      version << 4 | region << 3 | number of the layer, from 0; region is 1 where not all blocks are coded
byte 1      quality
2 bytes     upper half of the checksum, little-endian; the lower half is the state in which the rANS coder ends
layer 0     profile id, 4 bytes
layer 0     size in bytes of the payload of every further layer of the same image, a varint each
region      size in bytes of the packed block mask, a varint, and the mask; a first layer is never of a region

The checksum covers the contents and not the bytes: it is a CRC-32 of the header (with the checksum left zero),
the profile id, the block mask and the coefficients; those of the layers below come before the layer's own. A payload
of a further layer therefore need not name its profile: decoded with another profile, or with the layers of another
image, it fails the checksum.
"""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from overtone.frequency.errors import PayloadError
from overtone.frequency.varint import read_varint, write_varint

VERSION: Final = 3
MAX_LAYERS: Final = 8
SHORT_BYTES: Final = 4
FIRST_BYTES: Final = 8  # and the varints
REGION: Final = 0x08  # in the first byte
_LAYER: Final = MAX_LAYERS - 1
_CHECK: Final = slice(2, 4)
_ID: Final = slice(4, 8)


@dataclass(frozen=True)
class Header:
    """The header of a payload; only the payload of layer 0 has a `profile_id`, and `sizes` of the further layers.

    `check` is the upper half of the checksum, `length` the size of the header in bytes, and `mask` the packed block
    mask where the layer codes some blocks only.
    """

    layer: int
    quality: int
    profile_id: bytes | None
    check: int
    sizes: tuple[int, ...]
    length: int
    mask: bytes | None = None


def read_header(payload: bytes, layers: int) -> Header:
    """The header of a payload of a ladder of so many layers.

    The checksum is not verified here, because that takes the coefficients; `decode` verifies it.

    Raises:
        PayloadError: the payload is too short, of an unknown version, or of a layer that the ladder lacks.
    """
    layer, quality = read_start(payload)
    if layer >= layers:
        raise PayloadError(f"damaged payload: of layer {layer + 1}, where there are {layers}")
    check = int.from_bytes(payload[_CHECK], "little")
    if layer:
        mask, length = _read_mask(payload)
        return Header(layer, quality, None, check, (), length, mask)
    if len(payload) <= FIRST_BYTES:
        raise PayloadError(f"not the payload of a first layer: {len(payload)} bytes are too few")
    sizes, at = [], FIRST_BYTES
    for _ in range(layers - 1):
        size, at = read_varint(payload, at)
        sizes.append(size)
    return Header(0, quality, bytes(payload[_ID]), check, tuple(sizes), at)


def read_start(payload: bytes) -> tuple[int, int]:
    """The number of a payload's layer, from 0, and its quality; this does not take the profile.

    Raises:
        PayloadError: the payload is too short, or of an unknown version.
    """
    if len(payload) < SHORT_BYTES:
        raise PayloadError(f"not a payload: {len(payload)} bytes are too few")
    if payload[0] >> 4 != VERSION:
        raise PayloadError(f"not a payload of version {VERSION}")
    layer = payload[0] & _LAYER
    if payload[0] & REGION and not layer:
        raise PayloadError("damaged payload: a first layer is of all blocks")
    return layer, payload[1]


def write_header(
    layer: int,
    quality: int,
    check: int,
    profile_id: bytes = b"",
    sizes: Sequence[int] = (),
    mask: bytes | None = None,
) -> bytes:
    """A header; `profile_id` and `sizes` are given for layer 0 only, a packed `mask` for others only."""
    start = _start(layer, quality, check, mask)
    if not layer:
        return start + profile_id + b"".join(map(write_varint, sizes))
    return start if mask is None else start + write_varint(len(mask)) + mask


def checksum(
    layer: int,
    quality: int,
    profile_id: bytes,
    sizes: Sequence[int],
    planes: Iterable[NDArray[np.int16]],
    mask: bytes | None = None,
) -> int:
    """CRC-32 of a payload's contents: layer, quality, profile, sizes, block mask, and coefficients (see above)."""
    crc = zlib.crc32(_start(layer, quality, 0, mask) + profile_id)
    crc = zlib.crc32(b"".join(map(write_varint, sizes or (0,))), crc)
    crc = zlib.crc32(mask or b"", crc)
    for values in planes:
        crc = zlib.crc32(values.astype("<i2").tobytes(), crc)
    return crc


def _start(layer: int, quality: int, check: int, mask: bytes | None) -> bytes:
    region = 0 if mask is None else REGION
    return bytes([VERSION << 4 | region | layer, quality]) + check.to_bytes(2, "little")


def _read_mask(payload: bytes) -> tuple[bytes | None, int]:
    """The packed block mask of a further layer, if it has one, and the size of the header."""
    if not payload[0] & REGION:
        return None, SHORT_BYTES
    size, begin = read_varint(payload, SHORT_BYTES)
    if begin + size > len(payload):
        raise PayloadError("damaged payload: cut short")
    return bytes(payload[begin : begin + size]), begin + size
