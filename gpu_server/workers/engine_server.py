"""The server side of the engine's process: it takes decoded images over a Unix socket and sends back rows.

Its clients are the `RemoteRunner`s of the faces; `wire` has the messages.
"""

import asyncio
import logging
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from overtone.gpu_server.engine.batcher import Batcher
from overtone.gpu_server.engine.inference import Inference, Network, Ticket
from overtone.gpu_server.errors import Expired, Overloaded, ServiceError, Unavailable
from overtone.gpu_server.settings import MIB, Settings
from overtone.gpu_server.telemetry.metrics import Metrics
from overtone.gpu_server.workers import wire

log = logging.getLogger(__name__)

# Seconds between two checks whether the state of the engine has changed and must be sent.
INTERVAL = 0.02
# Bytes that may wait to be sent to a process that does not read them, before its connection is closed.
MAX_UNREAD = 64 * MIB

Row = tuple[int, NDArray[np.float32]]


@dataclass(eq=False, slots=True)
class _RemoteTicket(Ticket):
    """An image of another process.

    Attributes:
        number: its id on the connection.
        connection: where its result is sent.
        finished: whether it has been answered or withdrawn.
    """

    number: int = field(kw_only=True)
    connection: "_Connection" = field(kw_only=True)
    finished: bool = False

    @property
    def done(self) -> bool:
        """Whether it has been answered or withdrawn."""
        return self.finished

    def succeed(self, inference: Inference) -> None:
        """Send the row, together with others of its batch."""
        if not self.finished:
            self.finished = True
            began = self.since + inference.timings.queue
            self.connection.deliver(self.number, began, inference.timings.compute, inference.row)

    def fail(self, error: ServiceError) -> None:
        """Send the reason."""
        if not self.finished:
            self.finished = True
            self.connection.refuse(self.number, _reason(error), error.retry_after or 0.0)


def _reason(error: Exception) -> str:
    """The reason in `wire.REASONS` that stands for an error."""
    if isinstance(error, Expired):
        return "late"
    if isinstance(error, Overloaded):
        return "standing"
    return "stopping" if isinstance(error, Unavailable) else "network"


class EngineServer:
    """Runs the images of all processes that connect to its socket.

    Args:
        networks: one for each worker of the batcher.
        metrics: where to count.
        settings: for the limits of the queues.
        path: of the socket.
    """

    def __init__(self, networks: Sequence[Network], metrics: Metrics, settings: Settings, path: Path) -> None:
        self.batcher = Batcher(networks, metrics, settings, self.broadcast_state, time.monotonic)
        self.connections: set[_Connection] = set()
        self._path = path
        self._server: asyncio.Server | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._last_state: wire.State | None = None

    async def start(self) -> None:
        """Warm the networks, then listen."""
        await self.batcher.start()
        loop = asyncio.get_running_loop()
        self._path.unlink(missing_ok=True)
        self._server = await loop.create_unix_server(lambda: _Connection(self), self._path)
        self._ticker = loop.create_task(self._tick(), name="overtone-engine-state")

    async def stop(self) -> None:
        """Refuse the images that wait, and close all connections."""
        if self._server is not None and self._ticker is not None:
            self._server.close()
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
        await self.batcher.stop()
        for connection in list(self.connections):
            connection.close()

    async def wait_until_unused(self) -> None:
        """Wait until no process is connected."""
        while self.connections:
            await asyncio.sleep(INTERVAL)

    def state(self) -> wire.State:
        """The state of the engine now."""
        low, high = (self.batcher.estimate(stage) for stage in wire.STAGES)
        ready = self.batcher.failure is None
        return wire.State(self.batcher.backlog(), self.batcher.standing, ready, low, high)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            self.broadcast_state()

    def broadcast_state(self, *, always: bool = False) -> None:
        """Send the state of the engine to all processes, if it has changed since the last time, or `always`."""
        state = self.state()
        if always or state != self._last_state:
            self._last_state, message = state, wire.write_state(state)
            for connection in self.connections:
                connection.send(message)


class _Connection(asyncio.Protocol):
    """The connection of one process."""

    def __init__(self, server: EngineServer) -> None:
        self._server = server
        self._messages = wire.Messages()
        self._tickets: dict[int, _RemoteTicket] = {}
        self._results: dict[tuple[float, float], list[Row]] = {}
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's are not derived from asyncio's
        self._server.connections.add(self)
        self._server.broadcast_state(always=True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        for ticket in self._tickets.values():
            ticket.finished = True
            self._server.batcher.remove(ticket)
        self._tickets.clear()

    def data_received(self, data: bytes) -> None:
        try:
            for kind, body in self._messages.feed(data):
                if kind is wire.Kind.TICKET:
                    self._submit(wire.read_ticket(body))
                elif kind is wire.Kind.REMOVE:
                    self._remove(wire.read_remove(body))
        except (ValueError, IndexError, struct.error):
            log.exception("a process sent what cannot be read")
            self._transport.abort()

    def deliver(self, number: int, began: float, compute: float, row: NDArray[np.float32]) -> None:
        """Send a row soon, in one message with other rows of the same batch."""
        self._tickets.pop(number, None)
        if not self._results:
            asyncio.get_running_loop().call_soon(self._flush)
        self._results.setdefault((round(began, 6), compute), []).append((number, row))

    def refuse(self, number: int, reason: str, wait: float) -> None:
        """Send the reason why an image is not run, one of `wire.REASONS`, and the seconds to wait."""
        self._tickets.pop(number, None)
        self.send(wire.write_refused(number, reason, wait))

    def send(self, message: bytes) -> None:
        """Send a message; if too much is unread already, close the connection instead."""
        if self._transport.get_write_buffer_size() > MAX_UNREAD:
            log.error("a process does not read its results; its connection is closed")
            self._transport.abort()
        else:
            self._transport.write(message)

    def close(self) -> None:
        """Close the connection once everything is sent."""
        self._transport.close()

    def _flush(self) -> None:
        results, self._results = self._results, {}
        for (began, compute), rows in results.items():
            numbers = [number for number, _ in rows]
            self.send(wire.write_results(began, compute, numbers, [row for _, row in rows]))

    def _submit(self, sent: wire.TicketMessage) -> None:
        batcher = self._server.batcher
        try:
            batcher.check()
            if refusal := batcher.refusal(sent.stage, sent.expires, 0.0):
                return self.refuse(sent.number, refusal.reason, refusal.wait)
            fields = (sent.stage, sent.since, sent.since, sent.expires, sent.image)
            ticket = self._tickets[sent.number] = _RemoteTicket(*fields, number=sent.number, connection=self)
            batcher.put(ticket, expected=False)
        except Unavailable as error:
            self.refuse(sent.number, _reason(error), error.retry_after or 0.0)

    def _remove(self, number: int) -> None:
        if ticket := self._tickets.pop(number, None):
            ticket.finished = True
            self._server.batcher.remove(ticket)
