"""A fleet in another process, for locust, which runs on gevent: calls that block only their own greenlet."""

import itertools
import json
import sys
from typing import Any

import gevent
from gevent.event import AsyncResult
from gevent.subprocess import PIPE, Popen

from overtone.benchmarks.load.prepared import Sample


class FleetError(Exception):
    """An image without an answer, or a fleet that has ended; the message says why."""


class RemoteFleet:
    """A running `benchmarks.load.fleet_process`; `close` ends it."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._waiting: dict[int, Any] = {}
        # A session of its own: Ctrl-C reaches locust alone, which stops its users first.
        command = [sys.executable, "-m", "overtone.benchmarks.load.fleet_process"]
        self._process = Popen(command, stdin=PIPE, stdout=PIPE, start_new_session=True)
        self._listener = gevent.spawn(self._listen)

    def ask(self, do: str, **details: Any) -> Any:
        """The result of a request.

        Raises:
            FleetError: it failed, or the process has ended.
        """
        number = next(self._numbers)
        result = self._waiting[number] = AsyncResult()
        line = json.dumps({"id": number, "do": do, **details}) + "\n"
        try:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
        except OSError:
            raise FleetError("the devices' process has ended") from None
        return result.get()

    def send(self, device: int) -> Sample:
        """Let a device that has joined send one image."""
        return Sample(**self.ask("send", device=device))

    def close(self) -> None:
        """End it, whatever it is doing."""
        self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except Exception:
            self._process.kill()
        self._listener.kill()

    def _listen(self) -> None:
        for line in self._process.stdout:
            response = json.loads(line)
            result = self._waiting.pop(response["id"])
            if "error" in response:
                result.set_exception(FleetError(response["error"]))
            else:
                result.set(response["result"])
        for result in self._waiting.values():
            result.set_exception(FleetError("the devices' process has ended"))
