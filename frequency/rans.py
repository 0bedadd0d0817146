"""Static range coding with asymmetric numeral systems (Duda 2013), integers only: rANS, one state.

A 32-bit state, 16-bit words, 14-bit frequencies. The state stays in [2^16, 2^32): one word at most moves per
symbol. The encoder starts at 2^16 + check and works backwards, so the decoder must end there: sixteen bits
that the state costs anyway carry a check. Bytes: the last state, least byte first, then the words in the
order of reading.
"""

from bisect import bisect_right
from typing import Final

import numpy as np
from numpy.typing import NDArray

from overtone.frequency.bank import BITS, ESCAPE_BITS, TOTAL
from overtone.frequency.errors import PayloadError
from overtone.frequency.plan import Model

START: Final = 1 << 16
STATE_BYTES: Final = 4
WORD_BITS: Final = 16
PIECE_BITS: Final = 8


def encode(frequencies: NDArray[np.int64], starts: NDArray[np.int64], check: int = 0) -> bytes:
    """The bytes of n intervals, int64[n] each, in the order they will be decoded, and of 16 bits of check."""
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
    """Intervals (frequency, start) of the lowest `length` bits of a value, all equally likely.

    More than eight bits go as the upper ones, then the lowest eight.
    """
    if not length:
        return []
    if length > PIECE_BITS:
        return pieces(value >> PIECE_BITS, length - PIECE_BITS) + pieces(value, PIECE_BITS)
    width = BITS - length
    return [(1 << width, (value & (1 << length) - 1) << width)]


def escape(excess: int) -> list[tuple[int, int]]:
    """Intervals of a number from 0 to 65534 (Elias' gamma code with the length in four bits)."""
    length = (excess + 1).bit_length() - 1
    return pieces(length, ESCAPE_BITS) + pieces(excess + 1, length)


class Decoder:
    """Reads from the front of a stream; whoever asks says which model the next symbol comes from.

    Raises:
        PayloadError: from any method, when the stream is cut short or damaged.
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
        """The next bits, of those `pieces` wrote."""
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
        """The next number of those `escape` wrote."""
        length = self.bits(ESCAPE_BITS)
        return (1 << length | self.bits(length)) - 1

    def finish(self) -> int:
        """The check, once all is read."""
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
