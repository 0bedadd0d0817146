"""Images in gRPC sessions, each with as many in flight as it has credits.

Frames of HTTP/2 are written to sockets, as `http_load` writes requests of HTTP/1.1: a general
client of gRPC takes more of the processor, which the server on the same machine would lack.
"""

import asyncio
import itertools
import math
import struct
import time
from collections import deque
from collections.abc import Iterator

from overtone.benchmarks import http2
from overtone.benchmarks.serve.window import Window
from overtone.benchmarks.serve.workload import Workload
from overtone.protos import overtone_pb2 as pb

METHOD = "/overtone.v2.Cascade/Session"
STREAM = 1
# Images in flight in a session; a server may allow fewer.
CREDITS = 16
# The server may send as much as it likes (RFC 9113, 6.5.2 and 6.9.1).
LARGEST_WINDOW = 2**31 - 1
OPENING = (
    http2.PREFACE
    + http2.frame(http2.SETTINGS, 0, 0, struct.pack(">HI", http2.INITIAL_WINDOW_SIZE, LARGEST_WINDOW))
    + http2.frame(http2.WINDOW_UPDATE, 0, 0, struct.pack(">I", LARGEST_WINDOW - http2.WINDOW))
    + http2.frame(http2.HEADERS, http2.END_HEADERS, STREAM, http2.headers(METHOD))
)


class SessionError(RuntimeError):
    """A session ended, which none may."""


async def load(address: str, workload: Workload, in_flight: int, window: Window) -> None:
    """Keep images in flight until the window is over.

    Raises:
        SessionError: a session ended.
    """
    count = math.ceil(in_flight / CREDITS)
    shares = [in_flight // count + (i < in_flight % count) for i in range(count)]
    endless = itertools.cycle(workload.layers)
    sessions = [asyncio.create_task(_session(address, workload, endless, n, window)) for n in shares]
    measuring = asyncio.create_task(window.run())
    try:
        await asyncio.wait({measuring, *sessions}, return_when=asyncio.FIRST_COMPLETED)
        for session in sessions:
            if session.done():
                session.result()
        await measuring
    finally:
        for task in (measuring, *sessions):
            task.cancel()
        await asyncio.gather(measuring, *sessions, return_exceptions=True)
        await asyncio.sleep(0)  # in which aborted connections close their sockets


async def _session(
    address: str, workload: Workload, images: Iterator[tuple[bytes, ...]], in_flight: int, window: Window
) -> None:
    """A session on a connection of its own, as devices have."""
    host, _, port = address.rpartition(":")
    transport, session = await asyncio.get_running_loop().create_connection(
        lambda: _Session(workload, images, in_flight, window), host, int(port)
    )
    try:
        raise SessionError(await session.ended)
    finally:
        transport.abort()


class _Session(asyncio.Protocol):
    """Sends an image as soon as one is answered, within the server's windows.

    Attributes:
        ended: why the session has ended, once it has.
    """

    def __init__(
        self, workload: Workload, images: Iterator[tuple[bytes, ...]], in_flight: int, window: Window
    ) -> None:
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._workload, self._images, self._window = workload, images, window
        self._sent = [0.0] * in_flight
        self._frames, self._messages = http2.FrameParser(), http2.MessageParser()
        self._first_window = http2.WINDOW
        # What may be sent on the connection, and in the stream.
        self._room = [http2.WINDOW, http2.WINDOW]
        self._waiting: deque[bytes] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the session."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(OPENING)
        options = pb.Options(operating_point=self._workload.point)
        self._write(pb.Upstream(hello=pb.Hello(options=options)))
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        """Note that the session has ended."""
        self._end(f"the connection was lost ({error})")

    def data_received(self, data: bytes) -> None:
        """Take the frames that are complete."""
        for kind, flags, stream, payload in self._frames.feed(data):
            self._transport.write(http2.acknowledgement(kind, flags, payload))
            if kind == http2.DATA:
                for message in self._messages.feed(payload):
                    self._take(pb.Downstream.FromString(message))
            elif kind == http2.SETTINGS and (size := http2.initial_window(payload)) is not None:
                self._room[1] += size - self._first_window
                self._first_window = size
            elif kind == http2.WINDOW_UPDATE:
                self._room[stream and 1] += int.from_bytes(payload, "big")
            if kind in (http2.RST_STREAM, http2.GOAWAY) or (stream and flags & http2.END_STREAM):
                self._end("the server ended the session")
        self._flush()

    def _take(self, message: pb.Downstream) -> None:
        """Send images when the server has let the session in, and when it has answered one."""
        kind = message.WhichOneof("message")
        if kind == "welcome":
            for slot in range(min(len(self._sent), message.welcome.credits)):
                self._send(slot)
        elif kind in ("answer", "error"):
            outcome = getattr(message, kind)
            self._window.answered(self._sent[outcome.id], None if kind == "answer" else outcome.message)
            self._send(outcome.id)

    def _send(self, slot: int) -> None:
        self._sent[slot] = time.perf_counter()
        image = pb.Image(id=slot, layers=next(self._images), promised=self._workload.promised)
        self._write(pb.Upstream(image=image))

    def _write(self, message: pb.Upstream) -> None:
        data = http2.message(message.SerializeToString())
        pieces = range(0, len(data), http2.MAX_FRAME)
        self._waiting.extend(data[at : at + http2.MAX_FRAME] for at in pieces)

    def _flush(self) -> None:
        """Send what waits, as far as the server's windows have room."""
        frames = []
        while self._waiting and len(self._waiting[0]) <= min(self._room):
            piece = self._waiting.popleft()
            self._room = [room - len(piece) for room in self._room]
            frames.append(http2.frame(http2.DATA, 0, STREAM, piece))
        if frames:
            self._transport.write(b"".join(frames))

    def _end(self, why: str) -> None:
        if not self.ended.done():
            self.ended.set_result(why)
