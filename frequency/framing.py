"""Several payloads of an image in one piece: in front of each, its size in bytes as a varint."""

from collections.abc import Sequence

from overtone.frequency.errors import PayloadError
from overtone.frequency.ladder import MAX_LAYERS
from overtone.frequency.varint import read_varint, write_varint


def join(payloads: Sequence[bytes]) -> bytes:
    """The payloads in one piece."""
    return b"".join(write_varint(len(payload)) + payload for payload in payloads)


def split(joined: bytes) -> tuple[bytes, ...]:
    """The inverse of `join`.

    Raises:
        PayloadError: the piece is empty or damaged, or holds more payloads than a ladder can have layers.
    """
    payloads, at = [], 0
    while at < len(joined):
        size, begin = read_varint(joined, at)
        at = begin + size
        if not size or at > len(joined):
            raise PayloadError("damaged payloads: a size does not fit what is there")
        payloads.append(joined[begin:at])
    if not 1 <= len(payloads) <= MAX_LAYERS:
        raise PayloadError(f"need 1 to {MAX_LAYERS} payloads, each after its size, got {len(payloads)}")
    return tuple(payloads)
