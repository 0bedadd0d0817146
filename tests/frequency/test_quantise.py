import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overtone.frequency import dequantise, quantise


def test_a_dead_zone_rounds_towards_zero() -> None:
    values = np.array([[[-16.6, -6.0, 5.9, 6.1, 15.9, 16.1]]], dtype=np.float32)
    assert quantise(values, [10], 0.6).tolist() == [[[-2, -1, 0, 1, 1, 2]]]


def test_rounds_to_the_nearest_multiple_with_halves_to_even() -> None:
    values = np.array([[[0.0, 4.9, 5.0, 5.1, -4.9, -5.1, 15.0, -25.0]]], dtype=np.float32)
    assert quantise(values, [10]).tolist() == [[[0, 0, 0, 1, 0, -1, 2, -2]]]


def test_each_channel_has_its_own_step() -> None:
    values = np.full((2, 1, 1), 30, dtype=np.float32)
    assert quantise(values, np.array([10, 6])).ravel().tolist() == [3, 5]
    back = dequantise(np.full((2, 1, 1), 3, dtype=np.int16), (10, 6))
    assert back.dtype == np.float32
    assert back.ravel().tolist() == [30, 18]


def test_values_beyond_sixteen_bits_stay_at_the_ends() -> None:
    values = np.array([[[1e9, -1e9]]], dtype=np.float32)
    assert quantise(values, [1]).ravel().tolist() == [32767, -32768]


@given(st.floats(-1100, 1100, width=32), st.integers(1, 400))
def test_the_error_is_at_most_half_a_step(value: float, step: int) -> None:
    values = np.full((1, 1, 1), value, dtype=np.float32)
    error = abs(float(dequantise(quantise(values, [step]), [step])[0, 0, 0]) - value)
    assert error <= step / 2 + 1e-3


def test_a_step_too_few_is_refused() -> None:
    with pytest.raises(ValueError, match="steps"):
        quantise(np.zeros((2, 3, 3), dtype=np.float32), [1])
