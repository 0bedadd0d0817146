"""A child process of the supervisor, which is started again, after a growing pause, when it has ended."""

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
# The exit code that Python reports if the fork server, the parent of the process, has died; the process may still run.
EXIT_UNKNOWN = 255

# Children are forks of a process that has imported everything and done nothing else: they start at once and share its
# memory. Forks of this process would inherit its signal handlers and its state of CUDA.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["overtone.gpu_server.workers.processes"])


class Child:
    """A process that can be started again and again.

    Args:
        name: for logs.
        target: what it runs: a function that can be imported. It is called with `arguments` and a connection, over
            which it sends pairs of texts: "ready" or "error", and a message.

    Attributes:
        messages: this process's end of that connection; None while there is none.
    """

    def __init__(self, name: str, target: Callable[..., None], *arguments: object) -> None:
        self.name = name
        self.messages: Connection | None = None
        self._target = target
        self._arguments = arguments
        self._process: BaseProcess | None = None
        self._began = 0.0
        self._pause = FIRST_PAUSE
        self._restart_at = 0.0

    @property
    def pid(self) -> int:
        """The id of the process that was started last."""
        assert self._process is not None
        assert self._process.pid is not None
        return self._process.pid

    @property
    def started(self) -> bool:
        """Whether it has been started, and not been reaped since."""
        return self._process is not None

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.is_alive()

    @property
    def sentinel(self) -> int:
        """A handle that becomes readable when the process ends."""
        assert self._process is not None
        return self._process.sentinel

    @property
    def restart_delay(self) -> float:
        """Seconds until it may be started; not positive if it may be started now."""
        return self._restart_at - time.monotonic()

    def start(self) -> None:
        """Start the process."""
        self.close()
        self.messages, theirs = _processes.Pipe(duplex=False)
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

    def reap(self) -> str:
        """Take note of its end, set when it may be started again, and return why it ended."""
        assert self._process is not None
        code = self._process.exitcode
        if code == EXIT_UNKNOWN:
            self._send(signal.SIGKILL)
        lived = time.monotonic() - self._began
        self._pause = FIRST_PAUSE if lived > STABLE else min(2 * self._pause, LONGEST_PAUSE)
        self._restart_at = time.monotonic() + self._pause
        kind, text = self.receive() or ("", "")
        self._process = None
        if kind == "error":
            return text
        return f"ended by signal {-code}" if code and code < 0 else f"ended with exit code {code}"

    def receive(self) -> tuple[str, str] | None:
        """The next message that it has sent, if there is one."""
        with contextlib.suppress(EOFError, OSError):
            if self.messages is not None and self.messages.poll():
                kind, text = self.messages.recv()
                return str(kind), str(text)
        return None

    def signal(self, number: int) -> None:
        """Send the process a signal, if it runs."""
        if self.running:
            self._send(number)

    def join(self, seconds: float) -> bool:
        """Wait until it has ended; return whether it has."""
        if self._process is not None:
            self._process.join(max(0.0, seconds))
        return not self.running

    def close(self) -> None:
        """Close the connection for its messages."""
        if self.messages is not None:
            self.messages.close()
            self.messages = None

    def _send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
