"""A process that another one starts, and starts again when it has ended."""

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

# Seconds until a process that ended at once is started again: twice as many each time, up to the last.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
# A process that has run for so many seconds starts anew with the first pause.
STABLE = 10.0
# Blocked in a new process until it can handle them; until then they would end it.
BLOCKED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
# What Python says of a process whose own parent, the fork server, has gone, although it may still run.
LOST = 255

# A fork of a process that has imported everything and done nothing, so starting takes no time, and memory is shared.
# A fork of this one would have its signal handlers, and CUDA as it is here.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["overtone.gpu_server.workers.processes"])


class Child:
    """One process that can be started again.

    Args:
        name: for logs.
        target: what it runs: a function that can be imported, given `arguments` and a connection for its news, of
            which each is a pair of texts, "ready" or "error" and what is to be said.

    Attributes:
        news: the other end of that connection.
    """

    def __init__(self, name: str, target: Callable[..., None], *arguments: object) -> None:
        self.name = name
        self.news: Connection | None = None
        self._target = target
        self._arguments = arguments
        self._process: BaseProcess | None = None
        self._began = 0.0
        self._pause = FIRST_PAUSE
        self._due = 0.0

    @property
    def pid(self) -> int:
        """Of the process that was started last."""
        assert self._process is not None
        assert self._process.pid is not None
        return self._process.pid

    @property
    def started(self) -> bool:
        """Whether it was started, and has not been noted to have ended."""
        return self._process is not None

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.is_alive()

    @property
    def sentinel(self) -> int:
        """Becomes readable when the process ends."""
        assert self._process is not None
        return self._process.sentinel

    @property
    def due(self) -> float:
        """Seconds until it may be started, which is negative if it may be now."""
        return self._due - time.monotonic()

    def start(self) -> None:
        """Start it."""
        self.close()
        self.news, theirs = _processes.Pipe(duplex=False)
        self._process = _processes.Process(
            target=self._target, args=(*self._arguments, theirs), name=self.name
        )
        signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED)
        theirs.close()
        self._began = time.monotonic()

    def ended(self) -> str:
        """Note that it has ended, plan when it may be started again, and return why it ended."""
        assert self._process is not None
        code = self._process.exitcode
        if code == LOST:
            self._send(signal.SIGKILL)
        lived = time.monotonic() - self._began
        self._pause = FIRST_PAUSE if lived > STABLE else min(2 * self._pause, LONGEST_PAUSE)
        self._due = time.monotonic() + self._pause
        kind, text = self.hear() or ("", "")
        self._process = None
        if kind == "error":
            return text
        return f"ended by signal {-code}" if code and code < 0 else f"ended with exit code {code}"

    def hear(self) -> tuple[str, str] | None:
        """Its news, if there are any."""
        with contextlib.suppress(EOFError, OSError):
            if self.news is not None and self.news.poll():
                kind, text = self.news.recv()
                return str(kind), str(text)
        return None

    def signal(self, number: int) -> None:
        """Send it a signal, if it runs."""
        if self.running:
            self._send(number)

    def join(self, seconds: float) -> bool:
        """Wait until it has ended; return whether it has."""
        if self._process is not None:
            self._process.join(max(0.0, seconds))
        return not self.running

    def close(self) -> None:
        """Close what it was heard by."""
        if self.news is not None:
            self.news.close()
            self.news = None

    def _send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
