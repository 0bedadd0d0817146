import pytest
from hypothesis import given
from hypothesis import strategies as st

from overtone.frequency import PayloadError
from overtone.frequency.varint import MAX_VALUE, read_varint, write_varint


@given(st.integers(0, MAX_VALUE), st.binary(max_size=3))
def test_round_trip_anywhere(value: int, before: bytes) -> None:
    data = before + write_varint(value) + b"\xff"
    assert read_varint(data, len(before)) == (value, len(data) - 1)


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x80\x00", b"\x80\x80\x80\x80\x01", b"\xff" * 9])
def test_unfinished_or_stretched_varints_are_refused(data: bytes) -> None:
    with pytest.raises(PayloadError):
        read_varint(data, 0)


@pytest.mark.parametrize("value", [-1, MAX_VALUE + 1])
def test_only_what_fits_is_written(value: int) -> None:
    with pytest.raises(ValueError, match="varints"):
        write_varint(value)
