"""A face's client of the engine's process: it sends decoded images over a Unix socket and receives rows.

It is the engine's `Runner` in a process without networks; `engine_server` is the other side.
"""

import asyncio
import contextlib
import itertools
import logging
import queue
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

from overtone.gpu_server.answer import Stage, Timings
from overtone.gpu_server.engine.inference import Inference, Ticket
from overtone.gpu_server.engine.queues import Refusal
from overtone.gpu_server.errors import (
    ServiceError,
    Stopping,
    network_down,
    network_failed,
    overloaded,
    too_late,
)
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.system.threads import call_in_loop
from overtone.gpu_server.telemetry.metrics import Metrics
from overtone.gpu_server.workers import wire

log = logging.getLogger(__name__)

# Bytes that are read from the socket at once.
RECEIVE = 256 * 1024
# Seconds until a connection is tried again.
RECONNECT_INTERVAL = 0.05

Event = wire.Results | wire.State | tuple[int, str, float]


class RemoteRunner:
    """Runs images in the engine's process, which may end and be started again.

    Decoding threads queue images for one thread that sends them, as many as there are at once; another one receives.

    Args:
        path: of the engine's socket.
        metrics: where refusals are counted.
        settings: for how many images may wait.
        on_health: called when `failure` has changed.
    """

    def __init__(
        self, path: Path, metrics: Metrics, settings: Settings, on_health: Callable[[], None]
    ) -> None:
        self.failure: str | None = "the engine is not there yet"
        self._path = path
        self._metrics = metrics
        self._limits = {Stage.LOW: settings.low_queue, Stage.HIGH: settings.high_queue}
        self._probe_interval = settings.probe_interval
        self._on_health = on_health
        self._lock = threading.Lock()
        self._decoding: dict[Ticket, None] = {}
        self._pending: dict[int, Ticket] = {}
        self._numbers: dict[Ticket, int] = {}
        self._counter = itertools.count()
        self._state = wire.State()
        self._stop = threading.Event()
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop
        self._ready: asyncio.Event
        self._threads = [
            threading.Thread(target=target, name=f"overtone-engine-{target.__name__.strip('_')}", daemon=True)
            for target in (self._receive, self._send)
        ]

    async def start(self) -> None:
        """Wait until the engine is ready."""
        self._loop, self._ready = asyncio.get_running_loop(), asyncio.Event()
        for thread in self._threads:
            thread.start()
        await self._ready.wait()

    async def stop(self) -> None:
        """Refuse the images that wait, and disconnect."""
        self._stop.set()
        self._outbox.put(None)
        self._disconnect()
        self._fail_pending(Stopping())
        for thread in self._threads:
            if thread.ident is not None:
                await asyncio.to_thread(thread.join)

    def backlog(self) -> float:
        """Estimated seconds for all images that wait, by the state that the engine sent last."""
        return self._state.backlog

    @property
    def standing(self) -> bool:
        """Whether a standing queue has formed, by the state that the engine sent last."""
        return self._state.standing

    def depth(self, stage: Stage) -> int:
        """How many images of this process wait for a stage, those in the network included."""
        with self._lock:
            return sum(t.stage is stage for t in itertools.chain(self._decoding, self._numbers))

    def check(self) -> None:
        """Raise the reason why no image can be run now, if there is one.

        Raises:
            Unavailable: the runner is stopped, the engine is not connected, or its network fails.
        """
        if self._stop.is_set():
            raise Stopping
        if self.failure is not None:
            raise network_down(self._probe_interval)

    def refusal(self, stage: Stage, expires: float, before: float) -> Refusal | None:
        """Why one more image is refused, by the engine's last state; the engine may still refuse it by itself."""
        limit = self._limits[stage]
        if len(self._decoding) + len(self._pending) >= limit or self._outbox.qsize() > 4 * limit:
            return Refusal("full", self._state.backlog)
        estimate = self._state.low if stage is Stage.LOW else self._state.high
        return estimate.refusal(expires - time.monotonic() - before)

    def expect(self, ticket: Ticket) -> None:
        """Count an image as waiting while it is decoded."""
        with self._lock:
            self._decoding[ticket] = None

    def put(self, ticket: Ticket, *, expected: bool = True) -> None:
        """Send a decoded image, from any thread; no effect if it was `expected` and has been removed meanwhile.

        Raises:
            Unavailable: as `check` does.
        """
        with self._lock:
            self.check()  # under the lock, so that nothing is sent after everything was refused
            if expected and ticket not in self._decoding:
                return
            self._decoding.pop(ticket, None)
            number = next(self._counter) & 0xFFFFFFFF
            self._pending[number], self._numbers[ticket] = ticket, number
        sent = wire.TicketMessage(number, ticket.stage, ticket.since, ticket.expires, ticket.image)
        self._outbox.put(wire.write_ticket(sent))

    def remove(self, ticket: Ticket) -> None:
        """Withdraw an image if it has no result yet."""
        with self._lock:
            self._decoding.pop(ticket, None)
            number = self._numbers.pop(ticket, None)
            if number is None:
                return
            del self._pending[number]
        self._outbox.put(wire.write_remove(number))

    def _send(self) -> None:
        """The sending thread: send queued messages, up to 64 at once."""
        stopped = False
        while not stopped and (first := self._outbox.get()) is not None:
            messages = [first]
            with contextlib.suppress(queue.Empty):
                while len(messages) < 64 and not stopped:
                    if (more := self._outbox.get_nowait()) is None:
                        stopped = True
                    else:
                        messages.append(more)
            # If sending fails, the engine has ended, and the receiving thread has the pending images refused.
            if (connected := self._socket) is not None:
                with contextlib.suppress(OSError):
                    connected.sendall(b"".join(messages))

    def _receive(self) -> None:
        """The receiving thread: connect and handle messages; when the connection ends, connect again."""
        while not self._stop.is_set():
            try:
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                    connection.connect(str(self._path))
                    self._socket = connection
                    self._listen(connection)
            except (OSError, ValueError, struct.error) as error:
                log.debug("no connection to the engine: %s", error)
            if self._socket is not None:
                self._socket = None
                call_in_loop(self._loop, self._on_connection_lost)
            self._stop.wait(RECONNECT_INTERVAL)

    def _listen(self, connection: socket.socket) -> None:
        messages = wire.Messages()
        while data := connection.recv(RECEIVE):
            if events := [_event(kind, body) for kind, body in messages.feed(data)]:
                call_in_loop(self._loop, self._handle, events)

    def _handle(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, wire.Results):
                self._deliver(event)
            elif isinstance(event, wire.State):
                self._state = event
                self._set_failure(None if event.ready else "the network fails")
            else:
                self._refuse(*event)

    def _deliver(self, results: wire.Results) -> None:
        for number, row in zip(results.numbers, results.rows, strict=True):
            if ticket := self._pop(number):
                timings = Timings(max(0.0, results.began - ticket.since), results.compute)
                ticket.succeed(Inference(row, ticket.image, timings))

    def _refuse(self, number: int, reason: str, wait: float) -> None:
        if ticket := self._pop(number):
            if reason not in ("network", "stopping") and not ticket.done:
                self._metrics.of(self._metrics.shed, ticket.stage, reason).inc()
            ticket.fail(_error(reason, wait))

    def _pop(self, number: int) -> Ticket | None:
        with self._lock:
            ticket = self._pending.pop(number, None)
            if ticket is not None:
                del self._numbers[ticket]
            return ticket

    def _on_connection_lost(self) -> None:
        """Fail all images that the engine had."""
        self._state = wire.State()
        self._set_failure("the engine has ended and is started again")
        self._fail_pending(network_failed())

    def _fail_pending(self, error: ServiceError) -> None:
        with self._lock:
            pending = list(self._pending.values())
            self._pending.clear()
            self._numbers.clear()
        for ticket in pending:
            ticket.fail(error)

    def _set_failure(self, reason: str | None) -> None:
        if reason is None:
            self._ready.set()
        if reason != self.failure:
            self.failure = reason
            self._on_health()

    def _disconnect(self) -> None:
        if (connected := self._socket) is not None:
            with contextlib.suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)


def _event(kind: wire.Kind, body: memoryview) -> Event:
    if kind is wire.Kind.RESULTS:
        return wire.read_results(body)
    if kind is wire.Kind.STATE:
        return wire.read_state(body)
    if kind is wire.Kind.REFUSED:
        return wire.read_refused(body)
    raise ValueError(f"the engine sent {kind!r}")


def _error(reason: str, wait: float) -> ServiceError:
    if reason == "stopping":
        return Stopping()
    if reason == "network":
        return network_failed()
    return too_late() if reason == "late" else overloaded(wait)
