"""Unsigned LEB128: seven bits per byte, least significant first; the top bit is set on all bytes but the last."""

from typing import Final

from overtone.frequency.errors import PayloadError

MAX_BYTES: Final = 4
MAX_VALUE: Final = (1 << 7 * MAX_BYTES) - 1


def write_varint(value: int) -> bytes:
    """The shortest encoding of a number from 0 to 2^28 - 1."""
    if not 0 <= value <= MAX_VALUE:
        raise ValueError(f"varints hold 0 to {MAX_VALUE}, got {value}")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The value at an offset, and the offset after it.

    Raises:
        PayloadError: the number is cut short, longer than four bytes, or not the shortest encoding.
    """
    value = 0
    for index, byte in enumerate(data[at : at + MAX_BYTES]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if index and not byte:
                raise PayloadError("damaged payload: a varint is longer than it need be")
            return value, at + index + 1
    raise PayloadError("damaged payload: a varint has no end")
