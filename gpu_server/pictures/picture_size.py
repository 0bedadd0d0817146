"""Width and height of a JPEG, PNG or WebP from its header, without a decoder.

This runs on the event loop before anything else is done with a picture. So it takes a bounded number of steps, whatever
the bytes are. The process that decodes the picture refuses it if it has more pixels than its header says.
"""

import struct

# Segments of a JPEG that are searched for the one with the size; pictures have a few dozens at most.
MAX_SEGMENTS = 4096
# Starts of frames, baseline, progressive and so on: neither tables (C4) nor arithmetic conditioning (CC) nor JPG (C8).
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Markers without a length.
JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})


def dimensions(encoded: bytes) -> tuple[int, int] | None:
    """Width and height in pixels; None if they cannot be read from these bytes."""
    try:
        if encoded.startswith(b"\x89PNG\r\n\x1a\n"):
            return _png(encoded)
        if encoded[:4] == b"RIFF" and encoded[8:12] == b"WEBP":
            return _webp(encoded)
        return _jpeg(encoded) if encoded.startswith(b"\xff\xd8") else None
    except (struct.error, IndexError):
        return None


def _png(encoded: bytes) -> tuple[int, int] | None:
    if encoded[12:16] != b"IHDR":
        return None
    width, height = struct.unpack_from(">II", encoded, 16)
    return width, height


def _webp(encoded: bytes) -> tuple[int, int] | None:
    kind = encoded[12:16]
    if kind == b"VP8X" and len(encoded) >= 30:
        return 1 + int.from_bytes(encoded[24:27], "little"), 1 + int.from_bytes(encoded[27:30], "little")
    if kind == b"VP8 " and encoded[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", encoded, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L" and encoded[20] == 0x2F:
        (bits,) = struct.unpack_from("<I", encoded, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return None


def _jpeg(encoded: bytes) -> tuple[int, int] | None:
    at = 2
    for _ in range(MAX_SEGMENTS):
        if encoded[at] != 0xFF:
            return None
        marker = encoded[at + 1]
        if marker in JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", encoded, at + 5)
            return width, height
        if marker == 0xFF:  # padding
            at += 1
        elif marker in JPEG_BARE:
            at += 2
        else:
            (length,) = struct.unpack_from(">H", encoded, at + 2)
            at += 2 + length
    return None
