"""A camera: RTSP (RFC 2326) on a real socket, which sends MPEG-TS over RTP in the same connection."""

import asyncio
import contextlib
import io
import struct

import av

from tests.conftest import Photograph

# The size of a packet of MPEG-TS, how many of them go into one of RTP, and RTP's number for them (RFC 3551).
PACKET, TOGETHER, MP2T = 188, 7, 33
SDP = "\r\n".join(
    (
        "v=0",
        "o=- 0 0 IN IP4 127.0.0.1",
        "s=-",
        "c=IN IP4 0.0.0.0",
        "t=0 0",
        "m=video 0 RTP/AVP 33",
        "a=control:video",
        "",
    )
)


def film(picture: Photograph, count: int) -> bytes:
    """MPEG-TS of one picture so many times."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mpegts") as container:
        stream = container.add_stream("mpeg2video", rate=25)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "yuv420p"
        for _ in range(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


class RtspCamera:
    """Sends a film to everybody who logs in, and then closes the connection."""

    def __init__(self, film: bytes) -> None:
        self.film = film
        self.refused = self.played = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                method, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                self._answer(writer, method.split()[0], lines)
                if method.startswith("PLAY"):
                    await self._play(writer)
                    break
        writer.close()

    def _answer(self, writer: asyncio.StreamWriter, method: str, lines: list[str]) -> None:
        status, body = "200 OK", ""
        headers = [next(line for line in lines if line.startswith("CSeq")), "Session: 1"]
        if method == "DESCRIBE" and not any(line.startswith("Authorization") for line in lines):
            self.refused += 1
            status, headers = "401 Unauthorized", [*headers, 'WWW-Authenticate: Basic realm="camera"']
        elif method == "DESCRIBE":
            body, headers = SDP, [*headers, "Content-Type: application/sdp", f"Content-Length: {len(SDP)}"]
        elif method == "SETUP":
            headers.append("Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
        elif method == "OPTIONS":
            headers.append("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN")
        writer.write("\r\n".join((f"RTSP/1.0 {status}", *headers, "", body)).encode())

    async def _play(self, writer: asyncio.StreamWriter) -> None:
        self.played += 1
        for number, start in enumerate(range(0, len(self.film), PACKET * TOGETHER)):
            part = (
                struct.pack(">BBHII", 0x80, MP2T, number, start, 1)
                + self.film[start : start + PACKET * TOGETHER]
            )
            writer.write(b"$\0" + struct.pack(">H", len(part)) + part)
            await writer.drain()
