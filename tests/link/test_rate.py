import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overtone.link.rate import UNLIMITED, Bucket, Rate, UnitError, parse_duration

RATES = {"1mbit": 1e6, "300kbit": 3e5, "60kbit/s": 6e4, " 2.5 Mbit/s ": 2.5e6, "8bit": 8, ".5gbit": 5e8}


def test_rates_are_read_and_printed() -> None:
    for text, bits in (RATES | {"unlimited": math.inf}).items():
        rate = Rate.parse(text)
        assert rate.bits == bits
        assert Rate.parse(str(rate)) == rate


@pytest.mark.parametrize("text", ["", "1", "1mb", "1mbps", "fast", "-1mbit", "0kbit", "1e3bit", "nanbit"])
def test_other_rates_are_refused(text: str) -> None:
    with pytest.raises(UnitError, match="rate"):
        Rate.parse(text)


def test_durations() -> None:
    found = [parse_duration(text) for text in ("50ms", "0.1s", "200us", "2 s")]
    assert found == pytest.approx([0.05, 0.1, 2e-4, 2.0])


@pytest.mark.parametrize("text", ["", "50", "fast", "-1ms", "1m", "50 m s"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(UnitError, match="50ms"):
        parse_duration(text)


def test_pieces_leave_one_after_the_other_at_the_rate() -> None:
    bucket = Bucket(Rate.parse("8kbit"), burst=0.0)
    assert [bucket.depart(0.0, 100) for _ in range(4)] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert bucket.depart(10.0, 500) == pytest.approx(10.5)


def test_the_burst_is_saved_up_only_while_idle() -> None:
    bucket = Bucket(Rate.parse("8kbit"), burst=0.1)
    assert [bucket.depart(0.0, size) for size in (50, 100, 100)] == pytest.approx([0.0, 0.05, 0.15])
    assert bucket.depart(100.0, 300) == pytest.approx(100.2)


def test_an_unlimited_link_delays_nothing() -> None:
    bucket = Bucket(UNLIMITED)
    assert [bucket.depart(t, 1 << 20) for t in (0.0, 0.0, 3.0)] == [0.0, 0.0, 3.0]


def test_there_is_room_once_the_queue_is_short() -> None:
    bucket = Bucket(Rate.parse("8kbit"), burst=0.0)
    bucket.depart(0.0, 1000)
    assert bucket.room_at(0.25) == pytest.approx(0.75)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 5), st.integers(0, 5000)), min_size=1, max_size=50),
    st.floats(1e3, 1e8),
    st.floats(0, 0.1),
)
def test_no_window_carries_more_than_rate_and_burst(
    offers: list[tuple[float, int]], bits: float, burst: float
) -> None:
    rate = Rate(bits)
    bucket = Bucket(rate, burst)
    now, left, departures = 0.0, 0.0, []
    for gap, size in offers:
        now += gap
        departed = bucket.depart(now, size)
        assert departed >= max(now, left)  # never early, never overtaking
        left = departed
        departures.append((left, size))
    for first in range(len(departures)):
        carried = sum(size for _, size in departures[first + 1 :])
        assert rate.seconds(carried) <= departures[-1][0] - departures[first][0] + burst + 1e-6
