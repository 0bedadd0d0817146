import pytest

from overtone.link.tcp_overhead import DELAYED_ACK, QUICK_ACKS, Acks, on_wire


@pytest.mark.parametrize(
    ("payload", "wire"), [(0, 52), (1, 53), (1448, 1500), (1449, 1449 + 104), (14_480, 15_000)]
)
def test_every_segment_has_headers(payload: int, wire: int) -> None:
    assert on_wire(payload) == wire


def test_the_first_segments_are_acknowledged_one_by_one_then_every_second() -> None:
    acks = Acks()
    assert acks.arrived(0.0, QUICK_ACKS) == QUICK_ACKS
    assert [acks.arrived(0.001 * n, 1) for n in range(6)] == [0, 1, 0, 1, 0, 1]


def test_a_reply_carries_the_acknowledgement() -> None:
    acks = Acks()
    acks.answered()
    assert acks.arrived(1.0, 1) == 0
    assert acks.expired(1.03) is None
    acks.answered()
    assert acks.expired(2.0) is None
    assert acks.arrived(2.0, 1) == 0


def test_a_late_reply_comes_after_an_empty_acknowledgement() -> None:
    acks = Acks()
    acks.answered()
    assert acks.arrived(1.0, 3) == 1
    assert acks.expired(1.5) == pytest.approx(1.0 + DELAYED_ACK)
    assert acks.expired(1.5) is None
    assert acks.arrived(1.5, 1) == 0
