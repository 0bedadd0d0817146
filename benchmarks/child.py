"""A child process: started, heard line by line, and stopped whatever happens."""

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Self

# What is shown of a child's standard error when it fails.
REMEMBERED_LINES = 20
MAX_LINE = 1 << 20


class ChildError(ChildProcessError):
    """A child that ended, or kept silent; the message holds the last it said on standard error."""


class Child:
    """A running program with text going in and lines coming out; see `running`."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self._process = process
        self._said: deque[str] = deque(maxlen=REMEMBERED_LINES)
        self._listener = asyncio.create_task(self._listen(), name=f"stderr of {name}")

    @classmethod
    @contextlib.asynccontextmanager
    async def running(
        cls,
        name: str,
        *command: str,
        environment: Mapping[str, str | None] | None = None,
        grace: float = 9.0,
    ) -> AsyncIterator[Self]:
        """Start `command`; on leaving, ask it to stop, and kill it if it has not after `grace` seconds.

        It gets a session of its own: Ctrl-C in a terminal reaches the parent alone, which stops its children
        in order. In `environment`, None takes a variable away.
        """
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=MAX_LINE,
            env=_environment(environment or {}),
            start_new_session=True,
        )
        child = cls(name, process)
        try:
            yield child
        finally:
            await child.stop(grace)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def line(self, within: float) -> str:
        """The next line on its standard output.

        Raises:
            ChildError: it ended instead, or said nothing for `within` seconds.
        """
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), within)
        except TimeoutError:
            raise ChildError(self._complaint(f"said nothing for {within:g} s")) from None
        if not line:
            code = await self._process.wait()
            await self._listener
            raise ChildError(self._complaint(f"ended with exit code {code}"))
        return line.decode(errors="replace").rstrip("\r\n")

    async def tell(self, line: str) -> None:
        """Write a line to its standard input; one that has ended says so when it is asked for a line."""
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):
            self._process.stdin.write(f"{line}\n".encode())
            await self._process.stdin.drain()

    async def stop(self, grace: float) -> int:
        """End its input and ask it to stop, then make it; its exit code."""
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
        code = await self._process.wait()
        await self._listener
        return code

    async def _drained(self) -> None:
        """Wait for its end, reading on: a child with a full pipe never gets there."""
        assert self._process.stdout is not None
        while await self._process.stdout.read(MAX_LINE):
            pass
        await self._process.wait()

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            self._said.append(line.decode(errors="replace").rstrip())

    def _complaint(self, what: str) -> str:
        said = "\n".join(line for line in self._said if line)
        return f"{self.name} {what}" + (f"; it said:\n{said}" if said else "")


def _environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    changed = {**os.environ, "PYTHONUNBUFFERED": "1", **changes}
    return {name: value for name, value in changed.items() if value is not None}
