"""What the process that was started by hand is told by signals, as something that can be waited for."""

import contextlib
import os
import signal
import socket
from collections.abc import Callable


class Told:
    """SIGINT and SIGTERM, of which a second one ends everything at once, and SIGHUP.

    Args:
        kill: ends all other processes at once.

    Attributes:
        stop: whether it was told to stop.
        woken: becomes readable with every signal.
    """

    def __init__(self, kill: Callable[[], None]) -> None:
        self.stop = False
        self.woken, self._wake = socket.socketpair()
        self._kill = kill
        self._again = False
        for end in (self.woken, self._wake):
            end.setblocking(False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_hangup)

    def again(self) -> bool:
        """Whether it was told, since the last call, to read files again."""
        with contextlib.suppress(BlockingIOError):
            self.woken.recv(1024)
        again, self._again = self._again, False
        return again

    def _on_stop(self, number: int, frame: object) -> None:
        if self.stop:
            self._kill()
            os._exit(130)
        self.stop = True
        self._notify()

    def _on_hangup(self, number: int, frame: object) -> None:
        self._again = True
        self._notify()

    def _notify(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake.send(b"\0")
