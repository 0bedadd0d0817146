"""The size of an image file without what device and server could agree on beforehand.

Overtone's payloads are counted whole, header and checksum included. To show how much of the difference is due
to file formats, baselines are also counted bare: without everything that is the same for all images of one side
and quality, although no format exists in which that could be sent.
"""

from collections.abc import Iterator

# Markers without a segment: restarts, start and end of image (T.81, table B.1).
_ALONE = frozenset(range(0xD0, 0xDA)) | {0x01}
_DHT, _SOS = 0xC4, 0xDA
# WebP (RFC 9649): RIFF header and chunk header. In the chunk (RFC 6386, 9.1) start code and sides.
_VP8_CONSTANT = 7
# AV1 bitstream specification, 6.2.2.
_SEQUENCE_HEADER, _TEMPORAL_DELIMITER = 1, 2


def bare_jpeg(file: bytes, tables: bool) -> int:
    """Bytes of a JPEG's entropy-coded scans, and of its Huffman tables if they are its own."""
    return sum(size for marker, size in _segments(file) if marker == _SOS or (tables and marker == _DHT))


def _segments(file: bytes) -> Iterator[tuple[int, int]]:
    """(marker, bytes) of every segment: of a scan its entropy-coded data, of others their content."""
    at = 2
    while at + 4 <= len(file):
        marker = file[at + 1]
        if marker in _ALONE:
            at += 2
            continue
        length = int.from_bytes(file[at + 2 : at + 4], "big")
        end = at + 2 + length
        if marker != _SOS:
            yield marker, length - 2
            at = end
            continue
        at = _scan_end(file, end)
        yield marker, at - end


def _scan_end(file: bytes, at: int) -> int:
    """The position of the next marker; stuffed zeros and restarts belong to the scan."""
    while (at := file.find(0xFF, at)) >= 0:
        if file[at + 1 : at + 2] == b"\0" or 0xD0 <= int.from_bytes(file[at + 1 : at + 2], "big") <= 0xD7:
            at += 2
        else:
            return at
    return len(file)


def bare_webp(file: bytes) -> int:
    """Bytes of a WebP's VP8 frame, without start code and sides."""
    at = file.index(b"VP8 ")
    return int.from_bytes(file[at + 4 : at + 8], "little") - _VP8_CONSTANT


def bare_avif(file: bytes) -> int:
    """Bytes of an AVIF's AV1 frames, without sequence header and delimiters."""
    data = _box(file, b"mdat")
    at = found = 0
    while at < len(data):
        kind, begin = data[at] >> 3 & 15, at
        extension, sized = data[at] >> 2 & 1, data[at] >> 1 & 1
        at += 1 + extension
        length, used = _leb128(data[at:]) if sized else (len(data) - at, 0)
        at += used + length
        if kind not in (_SEQUENCE_HEADER, _TEMPORAL_DELIMITER):
            found += at - begin
    return found


def _box(file: bytes, wanted: bytes) -> bytes:
    """The content of a top-level box (ISO/IEC 14496-12, 4.2)."""
    at = 0
    while at + 8 <= len(file):
        size = int.from_bytes(file[at : at + 4], "big") or len(file) - at
        if file[at + 4 : at + 8] == wanted:
            return file[at + 8 : at + size]
        at += size
    raise ValueError(f"no box {wanted.decode()}")


def _leb128(data: bytes) -> tuple[int, int]:
    """(value, bytes it takes): seven bits a byte, the lowest first."""
    value = used = 0
    for byte in data[:8]:
        value |= (byte & 127) << 7 * used
        used += 1
        if byte < 128:
            break
    return value, used
