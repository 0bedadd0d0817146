"""Static range coding with asymmetric numeral systems (Duda 2013), integers only: rANS, one state.

A 32-bit state, 16-bit words, 12-bit frequencies. The state stays in [2^16, 2^32): one word at most moves per
symbol. The encoder starts at 2^16 and works backwards, so the decoder must end there: 16 bits of redundancy
that the state costs anyway. Bytes: the last state, least byte first, then the words in the order of reading.

One state, because a plain loop over Python integers codes a symbol faster than numpy does with up to about 30
interleaved states, each of which would cost two bytes of a payload that has a few hundred. `encode` and
`Decoder` are all that a compiled twin has to replace, and all that context modelling has to call: it picks a
model per symbol instead of per plane.
"""

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from frequency.errors import PayloadError
from frequency.tables import BITS, TOTAL, Table

START: Final = 1 << 16
STATE_BYTES: Final = 4
WORD_BITS: Final = 16


class Model(NamedTuple):
    """A table made ready for decoding: the symbol of each of 4096 slots, and each symbol's interval."""

    symbols: bytes
    frequencies: Table
    starts: Table


@lru_cache(maxsize=1024)
def model(table: Table) -> Model:
    """The model of a table; kept, because a server meets the same few again and again."""
    symbols = b"".join(bytes([symbol]) * frequency for symbol, frequency in enumerate(table))
    starts = np.cumsum((0, *table[:-1]))
    return Model(symbols, table, tuple(starts.tolist()))


def encode(frequencies: NDArray[np.int64], starts: NDArray[np.int64]) -> bytes:
    """The bytes of n symbols given as their intervals, int64[n] each, in the order they will be decoded."""
    state, words = START, []
    backwards = zip(frequencies[::-1].tolist(), starts[::-1].tolist(), strict=True)
    for frequency, start in backwards:
        if state >= frequency << 32 - BITS:
            words.append(state & 0xFFFF)
            state >>= WORD_BITS
        # The usual (state // f << 12) + state % f + start, with one division.
        state += state // frequency * (TOTAL - frequency) + start
    return state.to_bytes(STATE_BYTES, "little") + np.array(words[::-1], dtype="<u2").tobytes()


class Decoder:
    """Reads symbols from the front of a stream; whoever asks says which model each comes from.

    Raises:
        PayloadError: from any method, when the stream is cut short or damaged.
    """

    def __init__(self, stream: bytes) -> None:
        if len(stream) < STATE_BYTES:
            raise PayloadError("damaged payload: cut short")
        self._state = int.from_bytes(stream[:STATE_BYTES], "little")
        if self._state < START:
            raise PayloadError("damaged payload: not a state of the coder")
        count = (len(stream) - STATE_BYTES) // 2
        self._words: list[int] = np.frombuffer(stream, "<u2", count, STATE_BYTES).tolist()
        self._next = 0

    def read(self, source: Model, count: int) -> bytes:
        """The next symbols, all from one model."""
        symbols, frequencies, starts = source
        state, words, at = self._state, self._words, self._next
        out = bytearray(count)
        try:
            for index in range(count):
                slot = state & TOTAL - 1
                out[index] = symbol = symbols[slot]
                state = frequencies[symbol] * (state >> BITS) + slot - starts[symbol]
                if state < START:
                    state = state << WORD_BITS | words[at]
                    at += 1
        except IndexError:
            raise PayloadError("damaged payload: cut short") from None
        self._state, self._next = state, at
        return bytes(out)

    def finish(self) -> int:
        """How many bytes of the stream were symbols, once all are read."""
        if self._state != START:
            raise PayloadError("damaged payload: the coder does not end where it began")
        return STATE_BYTES + 2 * self._next
