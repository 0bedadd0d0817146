"""The limit of open files, of which every connection takes one, and a filter for the log when it is reached."""

import contextlib
import logging
import time
from collections.abc import Callable

# For everything but connections: the listeners, pipes, libraries, the checkpoint.
RESERVED = 128
# How the event loop begins its message when it cannot accept a connection.
NOT_ACCEPTED = "socket.accept() out of system resource"
# Seconds between two such messages.
QUIET = 60.0


def raise_limit() -> int | None:
    """Raise the soft limit of open files of this process to the hard one; returns it, or None where there is none."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if limit == resource.RLIM_INFINITY else limit


def allowed_connections(wanted: int, files: int | None) -> int:
    """How many connections the gRPC port and the HTTP port may each have, within the limit of open files.

    Args:
        wanted: as the settings have it.
        files: the limit of open files; None means no limit.
    """
    return wanted if files is None else max(1, min(wanted, (files - RESERVED) // 2))


class AcceptErrorFilter(logging.Filter):
    """Lets one message a minute pass about connections that could not be accepted; asyncio logs thousands."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._next = -QUIET

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is to be logged."""
        if not record.getMessage().startswith(NOT_ACCEPTED):
            return True
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + QUIET
        return True
