import logging

from overtone.gpu_server.system.open_files import (
    NOT_ACCEPTED,
    RESERVED,
    AcceptErrorFilter,
    allowed_connections,
)
from tests.gpu_server.conftest import Clock


def test_both_faces_stay_within_the_open_files() -> None:
    assert allowed_connections(4096, None) == 4096
    assert allowed_connections(4096, 1 << 20) == 4096
    assert 2 * allowed_connections(4096, 1024) + RESERVED == 1024
    assert allowed_connections(4096, 10) == 1


def test_accept_errors_are_logged_once_a_minute(clock: Clock) -> None:
    once = AcceptErrorFilter(clock)

    def logged(message: str) -> bool:
        record = logging.LogRecord("asyncio", logging.ERROR, "", 0, message, (), None)
        return bool(once.filter(record))

    assert [logged(f"{NOT_ACCEPTED}\nsocket: 7") for _ in range(1000)] == [True] + [False] * 999
    assert logged("something else")
    clock.now += 61
    assert logged(NOT_ACCEPTED)
