"""A child process that is started, read line by line, and stopped in every case."""

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Self

# Lines of standard error to show when a child fails.
REMEMBERED_LINES = 20
MAX_LINE = 1 << 20


class ChildError(ChildProcessError):
    """A child that ended or did not answer; the message has its last lines on standard error."""


class Child:
    """A running program that reads and writes lines; see `running`."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self._process = process
        self._errors: deque[str] = deque(maxlen=REMEMBERED_LINES)
        self._listener = asyncio.create_task(self._listen(), name=f"stderr of {name}")

    @classmethod
    @contextlib.asynccontextmanager
    async def running(
        cls, name: str, *command: str, environment: Mapping[str, str | None] | None = None, grace: float = 9.0
    ) -> AsyncIterator[Self]:
        """Start `command`; on leaving, terminate it, and kill it if it is still there after `grace` seconds.

        It gets a session of its own: Ctrl-C in a terminal reaches the parent alone, which stops its children
        in order. In `environment`, None removes a variable.
        """
        changed = {**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})}
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=MAX_LINE,
            env={variable: value for variable, value in changed.items() if value is not None},
            start_new_session=True,
        )
        child = cls(name, process)
        try:
            yield child
        finally:
            await child._stop(grace)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def line(self, within: float) -> str:
        """The next line on its standard output.

        Raises:
            ChildError: it ended instead, or wrote nothing for `within` seconds.
        """
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), within)
        except TimeoutError:
            raise ChildError(self._complaint(f"wrote nothing for {within:g} s")) from None
        if not line:
            code = await self._process.wait()
            await self._listener
            raise ChildError(self._complaint(f"ended with exit code {code}"))
        return line.decode(errors="replace").rstrip("\r\n")

    async def tell(self, line: str) -> None:
        """Write a line to its standard input; that it has ended is reported by `line`, not here."""
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):
            self._process.stdin.write(f"{line}\n".encode())
            await self._process.stdin.drain()

    async def _stop(self, grace: float) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._drained(), grace)
        finally:
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
        await self._process.wait()
        await self._listener

    async def _drained(self) -> None:
        """Wait for its end while reading its output: a child that writes to a full pipe would never end."""
        assert self._process.stdout is not None
        while await self._process.stdout.read(MAX_LINE):
            pass
        await self._process.wait()

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            self._errors.append(line.decode(errors="replace").rstrip())

    def _complaint(self, what: str) -> str:
        errors = [line for line in self._errors if line]
        if len(errors) == 1:
            return f"{self.name} {what}: {errors[0]}"
        return "\n".join(
            (f"{self.name} {what}; its standard error:" if errors else f"{self.name} {what}", *errors)
        )


def stop_on_signals() -> None:
    """Cancel the current task on SIGTERM and SIGHUP, so that children are stopped as on Ctrl-C."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
