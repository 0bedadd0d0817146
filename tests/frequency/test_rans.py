import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frequency import PayloadError, laplacian_tables
from frequency.rans import Decoder, encode, model
from frequency.tables import TOTAL, Table, freeze

tables = st.lists(st.integers(1, 10_000), min_size=2, max_size=20).map(lambda w: freeze(np.array(w)))


def coded(table: Table, symbols: list[int]) -> bytes:
    frequencies, starts = np.array(table), np.cumsum(table) - np.array(table)
    return encode(frequencies[symbols], starts[symbols])


@given(st.data(), tables)
def test_round_trip(data: st.DataObject, table: Table) -> None:
    symbols = data.draw(st.lists(st.integers(0, len(table) - 1), max_size=300))
    stream = coded(table, symbols)
    decoder = Decoder(stream + b"after")
    half = len(symbols) // 2
    source = model(table)
    assert list(decoder.read(source, half) + decoder.read(source, len(symbols) - half)) == symbols
    assert decoder.finish() == len(stream)


def test_models_may_change_between_symbols() -> None:
    first, second = (3000, 1096), (1, 4095)
    stream = encode(np.array([3000, 4095, 1096]), np.array([0, 1, 3000]))
    decoder = Decoder(stream)
    sources = (model(first), model(second), model(first))
    assert [decoder.read(source, 1)[0] for source in sources] == [0, 1, 1]
    assert decoder.finish() == len(stream)


def test_no_symbols_are_only_a_state() -> None:
    assert coded((2048, 2048), []) == b"\x00\x00\x01\x00"


def test_is_within_four_bytes_of_the_ideal() -> None:
    (table,) = laplacian_tables([32])
    symbols = np.random.default_rng(0).choice(len(table), 5000, p=np.array(table) / TOTAL)
    ideal = (12 - np.log2(np.array(table)[symbols])).sum() / 8
    assert ideal < len(coded(table, symbols.tolist())) < ideal * 1.001 + 4


def test_a_stream_cut_anywhere_is_refused() -> None:
    (table,) = laplacian_tables([32])
    symbols = [0, 1, 2, 3] * 50
    stream = coded(table, symbols)
    for end in range(len(stream)):
        with pytest.raises(PayloadError):  # noqa: PT012 - any of the three may notice
            decoder = Decoder(stream[:end])
            decoder.read(model(table), len(symbols))
            decoder.finish()


@given(st.binary(max_size=64), tables)
def test_random_bytes_are_refused_or_are_what_the_encoder_writes(stream: bytes, table: Table) -> None:
    try:
        decoder = Decoder(stream)
        symbols = decoder.read(model(table), 20)
        length = decoder.finish()
    except PayloadError:
        return
    assert coded(table, list(symbols)) == stream[:length]
