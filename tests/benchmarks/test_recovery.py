import pytest

from overtone.benchmarks.link.recovery import LEAST, MOST, RoundTrip


def test_a_first_measurement_is_the_round_trip_and_half_of_it_its_variation() -> None:
    assert RoundTrip(0.6).timeout() == pytest.approx(0.6 + 4 * 0.3)


def test_a_steady_round_trip_comes_down_to_the_least_above_it() -> None:
    trip = RoundTrip(0.12)
    for _ in range(100):
        trip.measured(0.12)
    assert trip.timeout() == pytest.approx(0.12 + LEAST)


def test_one_measurement_moves_it_as_the_standard_says() -> None:
    trip = RoundTrip(1.0)
    trip.measured(2.0)
    # RFC 6298: variation 3/4 * 0.5 + 1/4 * |1 - 2|, then smoothed 7/8 * 1 + 1/8 * 2.
    assert trip.timeout() == pytest.approx(1.125 + 4 * 0.625)


def test_every_loss_doubles_it_up_to_a_limit() -> None:
    trip = RoundTrip(0.1)
    assert [trip.timeout(n) for n in range(3)] == pytest.approx([0.3, 0.6, 1.2])
    assert trip.timeout(20) == MOST
