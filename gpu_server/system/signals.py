"""Signals of a process without an event loop, turned into a socket that `select` can wait for."""

import contextlib
import os
import signal
import socket
from collections.abc import Callable


class SignalListener:
    """Handles SIGINT and SIGTERM, which ask to stop, and SIGHUP, which asks to read files again.

    A second SIGINT or SIGTERM ends the process at once.

    Args:
        kill: called before a second signal ends this process; ends all other processes at once.

    Attributes:
        stop: whether SIGINT or SIGTERM has arrived.
        wakeup: a socket that becomes readable with every signal, until `take_reload` is called.
    """

    def __init__(self, kill: Callable[[], None]) -> None:
        self.stop = False
        self.wakeup, self._write_end = socket.socketpair()
        self._kill = kill
        self._reload = False
        for end in (self.wakeup, self._write_end):
            end.setblocking(False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_hangup)

    def take_reload(self) -> bool:
        """Whether SIGHUP has arrived since the last call."""
        with contextlib.suppress(BlockingIOError):
            self.wakeup.recv(1024)
        reload, self._reload = self._reload, False
        return reload

    def _on_stop(self, number: int, frame: object) -> None:
        if self.stop:
            self._kill()
            os._exit(130)
        self.stop = True
        self._wake()

    def _on_hangup(self, number: int, frame: object) -> None:
        self._reload = True
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._write_end.send(b"\0")
