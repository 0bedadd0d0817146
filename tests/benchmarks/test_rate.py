import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overtone.benchmarks.link.rate import UNLIMITED, Bucket, Rate, UnitError, parse_duration


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("1mbit", 1e6),
        ("300kbit", 3e5),
        ("60kbit/s", 6e4),
        (" 2.5 Mbit/s ", 2.5e6),
        ("8bit", 8),
        (".5gbit", 5e8),
        ("unlimited", math.inf),
    ],
)
def test_rates_are_read_as_people_write_them(text: str, bits: float) -> None:
    assert Rate.parse(text).bits == bits


@pytest.mark.parametrize("text", ["", "1", "1mb", "1mbps", "fast", "-1mbit", "0kbit", "1e3bit", "nanbit"])
def test_other_rates_are_refused(text: str) -> None:
    with pytest.raises(UnitError, match="rate"):
        Rate.parse(text)


@pytest.mark.parametrize("text", ["1mbit", "300kbit", "60kbit", "unlimited", "1.5gbit", "8bit"])
def test_a_rate_reads_back_what_it_prints(text: str) -> None:
    assert Rate.parse(str(Rate.parse(text))) == Rate.parse(text)


@pytest.mark.parametrize(("text", "seconds"), [("50ms", 0.05), ("0.1s", 0.1), ("200us", 2e-4), ("2 s", 2.0)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "50", "fast", "-1ms", "1m", "50 m s"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(UnitError, match="50ms"):
        parse_duration(text)


def test_an_idle_link_takes_a_piece_its_own_time() -> None:
    bucket = Bucket(Rate.parse("8kbit"), burst=0.0)
    assert bucket.depart(10.0, 500) == pytest.approx(10.5)
    assert bucket.depart(20.0, 1000) == pytest.approx(21.0)


def test_pieces_offered_together_leave_one_after_the_other() -> None:
    bucket = Bucket(Rate.parse("8kbit"), burst=0.0)
    assert [bucket.depart(0.0, 100) for _ in range(4)] == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_the_burst_is_saved_up_only_while_idle() -> None:
    bucket = Bucket(Rate.parse("8kbit"), burst=0.1)
    assert bucket.depart(0.0, 50) == 0.0
    assert bucket.depart(0.0, 100) == pytest.approx(0.05)
    assert bucket.depart(0.0, 100) == pytest.approx(0.15)
    assert bucket.depart(100.0, 300) == pytest.approx(100.2)


def test_an_unlimited_link_keeps_nothing_waiting() -> None:
    bucket = Bucket(UNLIMITED)
    assert [bucket.depart(t, 1 << 20) for t in (0.0, 0.0, 3.0)] == [0.0, 0.0, 3.0]


def test_rounding_does_not_accumulate() -> None:
    bucket = Bucket(Rate.parse("1mbit"), burst=0.0)
    for _ in range(100_000):
        last = bucket.depart(0.0, 125)
    assert last == pytest.approx(100.0, rel=1e-9)


def test_room_is_there_once_the_queue_is_short() -> None:
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
        left_now = bucket.depart(now, size)
        assert left_now >= max(now, left)  # never early, never overtaking
        left = left_now
        departures.append((left, size))
    for first in range(len(departures)):
        carried = sum(size for _, size in departures[first + 1 :])
        assert rate.seconds(carried) <= departures[-1][0] - departures[first][0] + burst + 1e-6
