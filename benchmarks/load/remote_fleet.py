"""A fleet in another process, for whoever runs on gevent: calls that wait without keeping others waiting."""

import itertools
import json
import sys
from typing import Any

import gevent
from gevent.event import AsyncResult
from gevent.subprocess import PIPE, Popen

from overtone.benchmarks.load.ready import Shot


class FleetError(Exception):
    """A picture without an answer, or a fleet that has ended; the message says why."""


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
        """The answer to a message.

        Raises:
            FleetError: it is that something failed, or there will be none.
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

    def send(self, device: int) -> Shot:
        """One picture of a device that has joined."""
        return Shot(**self.ask("send", device=device))

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
            message = json.loads(line)
            result = self._waiting.pop(message["id"])
            if "error" in message:
                result.set_exception(FleetError(message["error"]))
            else:
                result.set(message["said"])
        for result in self._waiting.values():
            result.set_exception(FleetError("the devices' process has ended"))
