import pytest

from overtone.benchmarks.link.air import DELAYED_ACK, QUICK_ACKS, Acks, Count, Traffic, on_air


@pytest.mark.parametrize(
    ("payload", "air"), [(0, 52), (1, 53), (1448, 1500), (1449, 1449 + 104), (14_480, 15_000)]
)
def test_every_segment_has_its_headers(payload: int, air: int) -> None:
    assert on_air(payload) == air


def test_the_first_segments_are_acknowledged_one_by_one_then_every_second() -> None:
    acks = Acks()
    assert acks.arrived(0.0, QUICK_ACKS) == QUICK_ACKS
    assert [acks.arrived(0.001 * n, 1) for n in range(6)] == [0, 1, 0, 1, 0, 1]


def test_an_answer_carries_the_acknowledgement() -> None:
    acks = Acks()
    acks.answered()
    assert acks.arrived(1.0, 1) == 0
    assert acks.lapsed(1.03) is None
    acks.answered()
    assert acks.lapsed(2.0) is None
    assert acks.arrived(2.0, 1) == 0


def test_an_answer_that_takes_too_long_comes_after_an_empty_one() -> None:
    acks = Acks()
    acks.answered()
    assert acks.arrived(1.0, 3) == 1
    assert acks.lapsed(1.5) == pytest.approx(1.0 + DELAYED_ACK)
    assert acks.lapsed(1.5) is None
    assert acks.arrived(1.5, 1) == 0


def test_traffic_names_its_directions() -> None:
    traffic = Traffic("peer", Count(1, 2, 3), Count(10, 20, 30))
    assert (traffic.up, traffic.down, traffic.air_up, traffic.air_down, traffic.again) == (1, 10, 2, 20, 33)
