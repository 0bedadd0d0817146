"""The body of a payload: the planes of a band, channel after channel, then what its tables do not hold."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from frequency import rans
from frequency.errors import PayloadError
from frequency.symbols import fold, unfold
from frequency.tables import MAX_LENGTH, Table
from frequency.varint import read_varint, write_varint

MAX_NUMBER: Final = (1 << 16) - 1
# A word and a three-byte escape for every symbol: nothing the encoder writes is longer.
_MOST_BYTES_EACH: Final = 2 + 3


def encode_planes(band: NDArray[np.int16], channels: Sequence[int], tables: tuple[Table, ...]) -> bytes:
    """rANS words of all symbols, then one varint for each escape: by how much it passes the alphabet."""
    numbers = fold(band, channels).reshape(len(channels), -1)
    frequencies, starts, escapes = _intervals(tables)
    symbols = np.minimum(numbers, escapes)
    rows = np.arange(len(channels))[:, None]
    words = rans.encode(frequencies[rows, symbols].ravel(), starts[rows, symbols].ravel())
    excess = (numbers - escapes)[symbols == escapes]
    return words + b"".join(map(write_varint, excess.tolist()))


def decode_planes(
    body: bytes, channels: Sequence[int], tables: tuple[Table, ...], blocks: int
) -> NDArray[np.int16]:
    """The inverse of `encode_planes`: int16[C, blocks, blocks].

    Raises:
        PayloadError: not something `encode_planes` can have written.
    """
    if len(body) > largest(len(channels), blocks):
        raise PayloadError("damaged payload: too long for its band")
    decoder = rans.Decoder(body)
    planes = [decoder.read(rans.model(table), blocks * blocks) for table in tables]
    numbers = np.frombuffer(b"".join(planes), dtype=np.uint8).astype(np.int32).reshape(len(tables), -1)
    _add_excess(numbers, _intervals(tables)[2], body[decoder.finish() :])
    return unfold(numbers.reshape(-1, blocks, blocks), channels)


def largest(channels: int, blocks: int) -> int:
    """The most bytes `encode_planes` can write."""
    return rans.STATE_BYTES + _MOST_BYTES_EACH * channels * blocks * blocks


def _add_excess(numbers: NDArray[np.int32], escapes: NDArray[np.int64], side: bytes) -> None:
    at = 0
    for plane, index in np.argwhere(numbers == escapes).tolist():
        excess, at = read_varint(side, at)
        if excess > MAX_NUMBER - numbers[plane, index]:
            raise PayloadError("damaged payload: a value does not fit sixteen bits")
        numbers[plane, index] += excess
    if at != len(side):
        raise PayloadError("damaged payload: bytes left over")


@lru_cache(maxsize=64)
def _intervals(
    tables: tuple[Table, ...],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Frequencies and starts int64[C, 256] by channel and symbol, and the escape symbols int64[C, 1]."""
    frequencies = np.zeros((len(tables), MAX_LENGTH), dtype=np.int64)
    for row, table in enumerate(tables):
        frequencies[row, : len(table)] = table
    starts = np.cumsum(frequencies, axis=1) - frequencies
    return frequencies, starts, np.array([[len(table) - 1] for table in tables])
