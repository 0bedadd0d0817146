"""HTTP/2 frame by frame (RFC 9113), for sequences that no library would send, and for loads that cost little."""

import asyncio
import struct
from collections.abc import Mapping

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4
# What a peer may send before it is told more (section 6.9.2), and the number of that setting.
WINDOW, INITIAL_WINDOW_SIZE = 65_535, 4
MAX_FRAME = 16_384
CANCEL = 8
# Bytes of a frame's head, and of the prefix of a gRPC message.
HEAD, PREFIX = 9, 5
# Bytes that are read at once.
RECEIVE = 1 << 16


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Encode a frame (RFC 9113, 4.1)."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def headers(path: str, extra: Mapping[str, str] | None = None) -> bytes:
    """The header block of a gRPC call, without compression (RFC 7541, 6.2.2)."""
    fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "localhost"}
    fields |= {"content-type": "application/grpc", "te": "trailers", **(extra or {})}
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in fields.items())


def message(data: bytes, announced: int | None = None) -> bytes:
    """A gRPC message; `announced` is the length that its prefix claims."""
    return struct.pack(">BI", 0, len(data) if announced is None else announced) + data


def reset(stream: int) -> bytes:
    """The frame that cancels a stream."""
    return frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL))


def acknowledgement(kind: int, flags: int, payload: bytes) -> bytes:
    """The frame that a frame asks for in return; empty if it asks for none."""
    if kind not in (SETTINGS, PING) or flags & ACK:
        return b""
    return frame(kind, ACK, 0, payload if kind == PING else b"")


def initial_window(settings: bytes) -> int | None:
    """What a peer may send in a new stream, by the payload of SETTINGS; None if it does not say."""
    return dict(struct.iter_unpack(">HI", settings)).get(INITIAL_WINDOW_SIZE)


class FrameParser:
    """Divides what arrives into frames."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> list[tuple[int, int, int, bytes]]:
        """Add bytes; the frames that are complete, each as kind, flags, stream and payload."""
        self._data += data
        frames, at = [], 0
        while len(self._data) >= at + HEAD and len(self._data) >= (end := at + HEAD + self._size(at)):
            kind, flags, stream = struct.unpack_from(">BBI", self._data, at + 3)
            frames.append((kind, flags, stream, self._data[at + HEAD : end]))
            at = end
        self._data = self._data[at:]
        return frames

    def _size(self, at: int) -> int:
        return int.from_bytes(self._data[at : at + 3], "big")


class MessageParser:
    """Divides the data of a stream into gRPC messages."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Add bytes; the messages that are complete."""
        self._data += data
        messages, at = [], 0
        while len(self._data) >= at + PREFIX:
            (size,) = struct.unpack_from(">I", self._data, at + 1)
            end = at + PREFIX + size
            if len(self._data) < end:
                break
            messages.append(self._data[at + PREFIX : end])
            at = end
        self._data = self._data[at:]
        return messages


def _text(value: str) -> bytes:
    assert len(value) < 127
    return bytes([len(value)]) + value.encode()


class Connection:
    """A client's connection that keeps to the server's windows.

    Attributes:
        closed: set when the server has closed it.
        ended: streams that the server has ended or reset.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.closed = asyncio.Event()
        self.ended: set[int] = set()
        self._reader = reader
        self._writer = writer
        self._next = 1
        self._first_window = WINDOW
        self._windows: dict[int, int] = {0: WINDOW}
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, host: str, port: int, source: str) -> "Connection":
        """Connect from this address."""
        reader, writer = await asyncio.open_connection(host, port, local_addr=(source, 0))
        writer.write(PREFACE + frame(SETTINGS, 0, 0))
        return cls(reader, writer)

    async def close(self) -> None:
        """Close it from this side."""
        self._task.cancel()
        self._writer.transport.abort()
        await asyncio.gather(self._task, return_exceptions=True)

    def begin(self, block: bytes) -> int:
        """Begin a stream with this header block."""
        number, self._next = self._next, self._next + 2
        self._windows[number] = self._first_window
        self._writer.write(frame(HEADERS, END_HEADERS, number, block))
        return number

    def write(self, data: bytes) -> None:
        """Send frames as they are."""
        self._writer.write(data)

    async def send(self, stream: int, data: bytes) -> None:
        """Send data in a stream, as fast as the server lets it come, until the connection or the stream ends."""
        while data and not self.closed.is_set() and stream not in self.ended:
            room = min(self._windows[0], self._windows[stream], MAX_FRAME, len(data))
            if room <= 0:
                self._changed.clear()
                await self._changed.wait()
                continue
            piece, data = data[:room], data[room:]
            self._windows[0] -= room
            self._windows[stream] -= room
            self._writer.write(frame(DATA, 0, stream, piece))
            await self.drain()

    async def drain(self) -> None:
        """Wait until what was written is on its way."""
        try:
            await self._writer.drain()
        except ConnectionError:
            self.closed.set()

    async def _read(self) -> None:
        parser = FrameParser()
        try:
            while data := await self._reader.read(RECEIVE):
                for each in parser.feed(data):
                    self._take(*each)
        except OSError:
            pass
        finally:
            self.closed.set()
            self._changed.set()

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if reply := acknowledgement(kind, flags, payload):
            self._writer.write(reply)
        if kind == SETTINGS:
            self._set_window(initial_window(payload))
        elif kind == WINDOW_UPDATE:
            self._windows[stream] = self._windows.get(stream, self._first_window) + int.from_bytes(
                payload, "big"
            )
        elif kind == RST_STREAM or (stream and flags & END_STREAM):
            self.ended.add(stream)
        self._changed.set()

    def _set_window(self, size: int | None) -> None:
        if size is None:
            return
        change, self._first_window = size - self._first_window, size
        for stream in self._windows:
            self._windows[stream] += change if stream else 0
