"""A camera: Motion JPEG over HTTP on a real socket."""

import asyncio
import io
from collections.abc import Sequence

from PIL import Image

from tests.conftest import Photograph

BOUNDARY = "frame"


def jpeg(photograph: Photograph) -> bytes:
    """A picture as the camera has it."""
    buffer = io.BytesIO()
    Image.fromarray(photograph).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


class MotionJpeg:
    """Sends these pictures over and over, to each viewer so many, and then closes the connection."""

    def __init__(self, pictures: Sequence[bytes], count: int) -> None:
        self.pictures = pictures
        self.count = count
        self.requests: list[str] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
            kind = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
            writer.write(f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: {kind}\r\n\r\n".encode())
            for number in range(self.count):
                picture = self.pictures[number % len(self.pictures)]
                head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                writer.write(head.encode() + picture + b"\r\n")
                await writer.drain()
                await asyncio.sleep(0.01)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
