from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overtone.frequency import PayloadError
from overtone.frequency.coding_plan import Model
from overtone.frequency.frequency_tables import BITS, TOTAL, Table, freeze
from overtone.frequency.rans import Decoder, encode, escape, pieces

tables = st.lists(st.integers(1, 10_000), min_size=2, max_size=20).map(lambda w: freeze(np.array(w)))


def model(table: Table) -> Model:
    return Model(table, (0, *accumulate(table[:-1])))


def coded(table: Table, symbols: list[int], check: int = 0) -> bytes:
    frequencies, starts = model(table)
    return encode(np.array(frequencies)[symbols], np.array(starts)[symbols], check)


@given(tables, st.data(), st.integers(0, 0xFFFF))
def test_round_trip(table: Table, data: st.DataObject, check: int) -> None:
    symbols = data.draw(st.lists(st.integers(0, len(table) - 1), max_size=300))
    decoder = Decoder(coded(table, symbols, check))
    assert [decoder.symbol(model(table)) for _ in symbols] == symbols
    assert decoder.finish() == check


@given(st.lists(st.integers(0, 65534), max_size=40))
def test_numbers_escape_and_come_back(numbers: list[int]) -> None:
    intervals = np.array([i for number in numbers for i in escape(number)], dtype=np.int64).reshape(-1, 2)
    decoder = Decoder(encode(intervals[:, 0], intervals[:, 1]))
    assert [decoder.excess() for _ in numbers] == numbers
    assert decoder.finish() == 0


@given(st.integers(0, 15), st.integers(0, (1 << 15) - 1))
def test_pieces_are_uniform(length: int, value: int) -> None:
    found = pieces(value, length)
    assert sum(BITS - np.log2(frequency) for frequency, _ in found) == length
    assert all(start % frequency == 0 and start + frequency <= TOTAL for frequency, start in found)


def test_nothing_is_only_a_state() -> None:
    assert coded((8192, 8192), []) == b"\x00\x00\x01\x00"
    assert coded((8192, 8192), [], 0xABCD) == b"\xcd\xab\x01\x00"


def test_is_within_four_bytes_of_the_ideal() -> None:
    table = freeze(np.array([900, 300, 300, 80, 80, 20, 20, 5]))
    symbols = np.random.default_rng(0).choice(len(table), 5000, p=np.array(table) / TOTAL)
    ideal = (BITS - np.log2(np.array(table)[symbols])).sum() / 8
    assert ideal < len(coded(table, symbols.tolist())) < ideal * 1.001 + 4


def test_a_stream_cut_anywhere_is_refused() -> None:
    table = freeze(np.array([9, 5, 3, 2]))
    stream = coded(table, [0, 1, 2, 3] * 50)
    for end in range(len(stream)):
        with pytest.raises(PayloadError):  # noqa: PT012 - any of the three may notice
            decoder = Decoder(stream[:end])
            for _ in range(200):
                decoder.symbol(model(table))
            decoder.finish()


@given(st.binary(max_size=64), tables)
def test_random_bytes_are_refused_or_are_what_the_encoder_writes(stream: bytes, table: Table) -> None:
    try:
        decoder = Decoder(stream)
        symbols = [decoder.symbol(model(table)) for _ in range(20)]
        check = decoder.finish()
    except PayloadError:
        return
    assert coded(table, symbols, check) == stream
