"""rANS: range coding with asymmetric numeral systems (Duda 2013), with one state, in integers only.

The state has 32 bits, words have 16 and frequencies 14. The state stays within [2^16, 2^32), so at most one word
is written or read per symbol. The encoder starts at 2^16 + check and works backwards, so the decoder must end
there; in this way sixteen bits that the state costs anyway carry a check. The stream consists of the encoder's
last state, little-endian, and then the words in the order in which the decoder reads them.
"""

from bisect import bisect_right
from typing import Final

import numpy as np
from numpy.typing import NDArray

from overtone.frequency.coding_plan import Model
from overtone.frequency.errors import PayloadError
from overtone.frequency.frequency_tables import BITS, ESCAPE_BITS, TOTAL

START: Final = 1 << 16
STATE_BYTES: Final = 4
WORD_BITS: Final = 16
PIECE_BITS: Final = 8


def encode(frequencies: NDArray[np.int64], starts: NDArray[np.int64], check: int = 0) -> bytes:
    """The stream of n intervals, int64[n] each, in the order of decoding, and of a check of 16 bits."""
    state, words = START | check, []
    backwards = zip(frequencies[::-1].tolist(), starts[::-1].tolist(), strict=True)
    for frequency, start in backwards:
        if state >= frequency << 32 - BITS:
            words.append(state & 0xFFFF)
            state >>= WORD_BITS
        # The usual (state // f << 14) + state % f + start, with one division.
        state += state // frequency * (TOTAL - frequency) + start
    return state.to_bytes(STATE_BYTES, "little") + np.array(words[::-1], dtype="<u2").tobytes()


def pieces(value: int, length: int) -> list[tuple[int, int]]:
    """Intervals (frequency, start) of the lowest `length` bits of a value, every value being equally likely.

    Of more than eight bits, the upper ones are coded first and the lowest eight after them.
    """
    if not length:
        return []
    if length > PIECE_BITS:
        return pieces(value >> PIECE_BITS, length - PIECE_BITS) + pieces(value, PIECE_BITS)
    width = BITS - length
    return [(1 << width, (value & (1 << length) - 1) << width)]


def escape(excess: int) -> list[tuple[int, int]]:
    """Intervals of a number from 0 to 65534: an Elias gamma code whose length takes four bits."""
    length = (excess + 1).bit_length() - 1
    return pieces(length, ESCAPE_BITS) + pieces(excess + 1, length)


class Decoder:
    """Reads symbols from a stream; the caller gives the model by which the next symbol was coded.

    Raises:
        PayloadError: from any method, if the stream is cut short or damaged.
    """

    def __init__(self, stream: bytes) -> None:
        if len(stream) < STATE_BYTES:
            raise PayloadError("damaged payload: cut short")
        self._state = int.from_bytes(stream[:STATE_BYTES], "little")
        if self._state < START:
            raise PayloadError("damaged payload: not a state of the coder")
        if len(stream) % 2:
            raise PayloadError("damaged payload: half a word left over")
        self._words: list[int] = np.frombuffer(stream, "<u2", offset=STATE_BYTES).tolist()
        self._next = 0

    def symbol(self, model: Model) -> int:
        """The next symbol."""
        frequencies, starts = model
        state = self._state
        slot = state & TOTAL - 1
        symbol = bisect_right(starts, slot) - 1
        self._state = frequencies[symbol] * (state >> BITS) + slot - starts[symbol]
        if self._state < START:
            self._refill()
        return symbol

    def bits(self, length: int) -> int:
        """The next bits that `pieces` coded."""
        if not length:
            return 0
        if length > PIECE_BITS:
            return self.bits(length - PIECE_BITS) << PIECE_BITS | self.bits(PIECE_BITS)
        width = BITS - length
        slot = self._state & TOTAL - 1
        value = slot >> width
        self._state = (self._state >> BITS << width) + slot - (value << width)
        if self._state < START:
            self._refill()
        return value

    def excess(self) -> int:
        """The next number that `escape` coded."""
        length = self.bits(ESCAPE_BITS)
        return (1 << length | self.bits(length)) - 1

    def finish(self) -> int:
        """The check, once everything has been read."""
        if self._next != len(self._words):
            raise PayloadError("damaged payload: bytes left over")
        if self._state >> WORD_BITS != 1:
            raise PayloadError("damaged payload: the coder does not end where it began")
        return self._state & 0xFFFF

    def _refill(self) -> None:
        if self._next == len(self._words):
            raise PayloadError("damaged payload: cut short")
        self._state = self._state << WORD_BITS | self._words[self._next]
        self._next += 1
