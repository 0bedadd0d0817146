"""Bytes of image files without their containers, that is, without what all images of one side and quality share.

No format leaves the container out, but a private protocol could; what remains is the coded image.
"""

from collections.abc import Callable, Iterator
from struct import unpack_from

# ITU-T T.81, table B.1.
SOS, DHT, EOI = 0xDA, 0xC4, 0xD9
# RIFF header and the chunk's own (WebP Container Specification); start code and sides of the frame (RFC 6386, 9.1).
WEBP_CONTAINER = 12 + 8 + 7
# AV1 Bitstream Specification, 6.2.2.
SEQUENCE_HEADER = 1


def picture_bytes(file: bytes) -> int:
    """The bytes of a file besides its container; a JPEG may be cut off.

    Raises:
        ValueError: the file is none of JPEG, JPEG XL, WebP and AVIF.
    """
    for magic, offset, count in FORMATS:
        if file[offset : offset + len(magic)] == magic:
            return count(file)
    raise ValueError("only the containers of JPEG, WebP, AVIF and JPEG XL are known")


def _webp(file: bytes) -> int:
    return max(0, len(file) - WEBP_CONTAINER)


def _jpeg(file: bytes) -> int:
    """Bytes of entropy-coded data, and of Huffman tables, which are optimised for each image."""
    total, at = 0, 2
    while at + 4 <= len(file) and file[at + 1] != EOI:
        kind, length = file[at + 1], unpack_from(">H", file, at + 2)[0]
        end = at + 2 + length
        if kind == SOS:
            begin, end = end, _end_of_scan(file, end)
            total += max(0, end - begin)
        elif kind == DHT:
            total += min(length, len(file) - at - 2)
        at = end
    return total


def _end_of_scan(file: bytes, at: int) -> int:
    """The offset of the next marker; a zero after 0xFF is stuffed (ITU-T T.81, B.1.1.5)."""
    while (at := file.find(b"\xff", at)) >= 0:
        if at + 1 < len(file) and file[at + 1] != 0:
            return at
        at += 2
    return len(file)


def _avif(file: bytes) -> int:
    """Bytes of the coded frames: the open bitstream units (OBUs) without the sequence header."""
    data = next(body for name, body in _boxes(file) if name == b"mdat")
    return sum(size for kind, size in _units(data) if kind != SEQUENCE_HEADER)


def _boxes(file: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Type and content of the boxes of a file (ISO/IEC 14496-12, 4.2)."""
    at = 0
    while at + 8 <= len(file):
        size, name = unpack_from(">I4s", file, at)
        end = at + size if size else len(file)
        yield name, file[at + 8 : end]
        at = end


def _units(data: bytes) -> Iterator[tuple[int, int]]:
    """Type and size of open bitstream units, which all have size fields (AV1 Bitstream Specification, 5.3)."""
    at = 0
    while at < len(data):
        begin, head = at, data[at]
        at += 2 if head & 0b100 else 1
        size, at = _leb128(data, at)
        at += size
        yield head >> 3 & 0b1111, at - begin


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    """Read a LEB128 number at an offset; return it and the offset behind it (AV1, 4.10.5)."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


# What a file begins with, where, and how its bytes are counted.
FORMATS: tuple[tuple[bytes, int, Callable[[bytes], int]], ...] = (
    (b"\xff\xd8", 0, _jpeg),
    (b"\xff\x0a", 0, len),  # a bare codestream of JPEG XL (ISO/IEC 18181-1)
    (b"WEBP", 8, _webp),
    (b"ftypavif", 4, _avif),
)
