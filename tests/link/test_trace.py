from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overtone.link import Link
from overtone.link.rate import Bucket, UnitError
from overtone.link.trace import Moment, RecordedRate, Trace

ROWS = "time,up,down,rtt\n0,8kbit,16kbit,100ms\n1,0,16000,\n3, 16 kbit ,16kbit,80ms\n"


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    path = tmp_path / "trace.csv"
    path.write_text(ROWS)
    return Trace.read(path)


def test_a_file_is_read(trace: Trace, tmp_path: Path) -> None:
    assert trace.moments == (
        Moment(0, 8000, 16000, 0.1),
        Moment(1, 0, 16000, None),
        Moment(3, 16000, 16000, 0.08),
    )
    assert (trace.period, trace.longest_rtt) == (5, 0.1)
    assert [trace.rtt(t) for t in (0, 0.99, 1, 3, 4.99, 5)] == [0.1, 0.1, None, 0.08, 0.08, 0.1]
    link = Link("h:1", trace=trace, profile="3g")
    assert (link.up.bits, link.down.bits, link.rtt) == (8000, 16000, 0.1)
    path = tmp_path / "both.csv"
    path.write_text("time,rate\n0,1mbit\n")
    assert Trace.read(path).moments == (Moment(0, 1e6, 1e6),)


def test_bytes_leave_at_the_recorded_rate_and_wait_while_it_is_zero(trace: Trace) -> None:
    rate = trace.schedule("up", start=100.0)
    assert rate.finish(100.0, 500) == pytest.approx(100.5)
    assert rate.finish(100.0, 1000) == pytest.approx(101.0)
    assert rate.finish(100.0, 1001) == pytest.approx(103.0005)  # nothing from 1 to 3
    assert rate.finish(102.0, 2000) == pytest.approx(104.0)
    assert rate.finish(104.5, 1000 + 500) == pytest.approx(105.5)  # from the beginning again
    assert rate.finish(100.0, 10 * 5000) == pytest.approx(150.0)
    assert rate.mean.bits == pytest.approx(8 * 5000 / 5)
    bucket = Bucket(trace.schedule("up", 0.0), burst=0.0)
    assert [bucket.depart(0.0, 500) for _ in range(4)] == pytest.approx([0.5, 1.0, 3.25, 3.5])


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.1, 5), st.integers(0, 100_000)), min_size=1, max_size=6),
    st.floats(0, 100),
    st.integers(1, 50_000),
    st.integers(1, 50_000),
)
def test_two_pieces_take_as_long_as_one(
    steps: list[tuple[float, int]], start: float, first: int, second: int
) -> None:
    times, rates, now = [], [], 0.0
    for length, bits in steps:
        times.append(now)
        rates.append(float(bits))
        now += length
    rates[-1] += 1000.0
    rate = RecordedRate(times, rates, now, 0.0)
    middle = rate.finish(start, first)
    assert middle >= start
    together = rate.finish(start, first + second)
    assert rate.finish(middle, second) == pytest.approx(together, rel=1e-6, abs=1e-3)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "begin at 0"),
        ("time,rate\n", "begin at 0"),
        ("time,rate\n1,1mbit\n", "begin at 0"),
        ("time,rate\n0,1mbit\n0,2mbit\n", "increase"),
        ("time,rate\n0,0\n", "not all zero"),
        ("time,rate\n0,inf\n", "finite"),
        ("time,rate\n0,1mb\n", "line 2: cannot read the rate"),
        ("time,rate\nnow,1mbit\n", "line 2: cannot read"),
        ("seconds,rate\n0,1mbit\n", "line 2: there is no time"),
        ("time,up\n0,1mbit\n", "line 2: there is no rate"),
        ("time,rate,rtt\n0,1mbit,80\n", "line 2: cannot read the duration"),
    ],
)
def test_other_files_are_refused_with_their_line(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(UnitError, match=complaint):
        Link("h:1", trace=path)
