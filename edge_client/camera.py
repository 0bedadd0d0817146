"""The pictures of a camera, for a device that keeps going."""

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from overtone.edge_client.errors import UsageError
from overtone.edge_client.image_queue import ImageQueue
from overtone.edge_client.iteration import iterate
from overtone.edge_client.notes import Notes

SCHEMES = ("rtsp", "rtsps", "http", "https")
# Seconds after which a camera that sends nothing is opened again, and the pause before that.
SILENCE = 10.0
PAUSE = 2.0


def is_camera(name: str) -> bool:
    """Whether this is the address of a camera, or a device file."""
    return urlsplit(name).scheme in SCHEMES or Path(name).is_char_device()


class Camera:
    """A picture now and then, from a camera that is opened again whenever it fails.

    Args:
        name: a device file, or an address: rtsp://, or http:// for Motion JPEG.
        every: the seconds between two pictures; 0 takes all.
        notes: print when the camera goes and comes.

    Raises:
        UsageError: PyAV, which reads cameras, is not installed.
    """

    def __init__(self, name: str, every: float, notes: Notes) -> None:
        try:
            import av
        except ModuleNotFoundError:
            raise UsageError("a camera needs PyAV: pip install 'overtone[camera]'") from None
        av.logging.set_level(None)  # what matters comes as an error too
        self._av = av
        self._address = name
        self._name = without_password(name)
        self._every = every
        self._notes = notes
        self._next = 0.0
        self._over = Event()

    async def feed(self, queue: ImageQueue) -> None:
        """Put pictures into the queue for ever."""
        # Read on even where the queue is full: a camera that is not read piles up pictures that are old.
        try:
            async for picture in iterate(self._pictures()):
                queue.put(self._name, picture)
        finally:
            self._over.set()

    def _pictures(self) -> Iterator[NDArray[np.uint8]]:
        told = True
        while not self._over.is_set():
            problem = "it sends no more"
            try:
                with self._open() as container:
                    if told:
                        self._notes.say(f"watching {self._name}")
                    yield from self._due(container)
            except self._av.FFmpegError as error:
                problem = error.strerror or str(error)
            except IndexError:
                problem = "it has no pictures"
            told = self._notes.error(f"{self._name}: {problem}; trying again", kind="camera")
            self._over.wait(PAUSE)

    def _open(self) -> Any:
        local = urlsplit(self._address).scheme not in SCHEMES
        options = {"rtsp_transport": "tcp"} if self._address.startswith("rtsp") else {}
        return self._av.open(
            self._address, format="v4l2" if local else None, options=options, timeout=SILENCE
        )

    def _due(self, container: Any) -> Iterator[NDArray[np.uint8]]:
        """The newest picture, uint8[H, W, 3], every `every` seconds; damaged ones are left out."""
        for packet in container.demux(video=0):
            for picture in self._decoded(packet):
                now = time.monotonic()
                if now >= self._next:
                    self._next = now + self._every
                    yield picture.to_ndarray(format="rgb24")

    def _decoded(self, packet: Any) -> list[Any]:
        try:
            return list(packet.decode())
        except self._av.error.InvalidDataError:
            return []


def without_password(address: str) -> str:
    """An address without the name and the password in it, which belong in no log."""
    parts = urlsplit(address)
    return address.replace(f"{parts.netloc.rpartition('@')[0]}@", "", 1) if "@" in parts.netloc else address
