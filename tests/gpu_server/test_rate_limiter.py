from overtone.gpu_server.limits.rate_limiter import PRUNED_FROM, RateLimiter
from tests.gpu_server.conftest import Clock


def test_a_burst_then_the_rate_for_each_peer_alone(clock: Clock) -> None:
    rate = RateLimiter(2.0, 3, clock)
    assert [rate.take("bad") for _ in range(5)] == [True] * 3 + [False] * 2
    assert rate.take("good")
    clock.now += 1.0
    assert [rate.take("bad") for _ in range(3)] == [True, True, False]
    clock.now += 100.0
    assert [rate.take("bad") for _ in range(4)] == [True] * 3 + [False]


def test_what_is_given_back_does_not_count(clock: Clock) -> None:
    rate = RateLimiter(1.0, 2, clock)
    for _ in range(100):
        assert rate.take("good")
        rate.give_back("good")


def test_peers_that_come_once_are_forgotten(clock: Clock) -> None:
    rate = RateLimiter(1.0, 1, clock)
    for number in range(10 * PRUNED_FROM):
        clock.now += 0.1
        rate.take(str(number))
    assert len(rate) <= PRUNED_FROM
