"""Requests over HTTP/1.1, as many in flight as there are connections; it costs a tenth of a general client's time."""

import asyncio
import itertools
import re
import time
from collections.abc import Iterator, Sequence

from overtone.benchmarks.serve.window import Window

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
END_OF_CHUNKS = b"0\r\n\r\n"
RECONNECT = 0.02


class ReplyParser:
    """Detects the end of an HTTP reply; one reply is awaited at a time."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> int | None:
        """Add bytes; return the reply's status once it is complete, and begin anew."""
        self._data += data
        head, separator, body = self._data.partition(b"\r\n\r\n")
        if not separator:
            return None
        if CHUNKED.search(head):
            complete = body.endswith(END_OF_CHUNKS)
        else:
            length = LENGTH.search(head)
            complete = len(body) >= (int(length[1]) if length else 0)
        if not complete:
            return None
        self._data = b""
        return int(head.split(b" ", 2)[1])


class _Connection(asyncio.Protocol):
    """Sends a request as soon as the one before is answered."""

    def __init__(self, requests: Iterator[bytes], window: Window) -> None:
        self._requests, self._window = requests, window
        self._parser = ReplyParser()
        self._sent = 0.0
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        """Count the reply once it is complete, and send the next request."""
        status = self._parser.feed(data)
        if status is not None:
            self._window.answered(self._sent, None if status == 200 else f"HTTP {status}")
            self._send()

    def connection_lost(self, error: Exception | None) -> None:
        """The request in flight has failed; its connection is opened anew by whoever opened it."""
        self._window.answered(self._sent, f"the connection was lost ({error})")
        if not self.closed.done():
            self.closed.set_result(None)

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(next(self._requests))


def requests(address: str, path: str, bodies: Sequence[bytes], content_type: str) -> list[bytes]:
    """Whole requests, head and body."""
    head = f"POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: {content_type}\r\naccept: */*\r\n"
    return [f"{head}content-length: {len(body)}\r\n\r\n".encode() + body for body in bodies]


async def load(address: str, messages: Sequence[bytes], in_flight: int, window: Window) -> None:
    """Keep requests in flight until the window is over."""
    endless = itertools.cycle(messages)
    connections = [asyncio.create_task(_keep_sending(address, endless, window)) for _ in range(in_flight)]
    try:
        await window.run()
    finally:
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await asyncio.sleep(0)  # in which aborted connections close their sockets


async def _keep_sending(address: str, messages: Iterator[bytes], window: Window) -> None:
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    while True:
        try:
            transport, protocol = await loop.create_connection(
                lambda: _Connection(messages, window), host, int(port)
            )
        except OSError as error:
            window.answered(0.0, f"cannot connect ({error})")
        else:
            try:
                await protocol.closed
            finally:
                transport.abort()
        await asyncio.sleep(RECONNECT)
