"""The pictures of a camera."""

import asyncio
import io
import sys
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from overtone.edge_client import UsageError
from overtone.edge_client import camera as module
from overtone.edge_client.camera import Camera, is_camera, without_password
from overtone.edge_client.image_queue import ImageQueue
from overtone.edge_client.notes import Notes
from tests.conftest import Photograph
from tests.edge_client.listening import listening
from tests.edge_client.motion_jpeg import MotionJpeg, jpeg
from tests.edge_client.rtsp import RtspCamera, film
from tests.waiting import until


def test_cameras_are_told_from_folders(tmp_path: Path) -> None:
    cameras = ("rtsp://10.0.0.7/stream", "http://camera:8080/video", "https://camera/video", "/dev/null")
    assert all(map(is_camera, cameras))
    assert not any(map(is_camera, (str(tmp_path), "none", "grpc://host:50051")))


def test_passwords_are_in_no_name() -> None:
    assert without_password("rtsp://admin:se@cret@10.0.0.7:554/s@1") == "rtsp://10.0.0.7:554/s@1"
    assert without_password("http://camera/video?a@b") == "http://camera/video?a@b"
    assert without_password("/dev/video0") == "/dev/video0"


def test_what_to_install_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UsageError, match=r"pip install 'overtone\[camera\]'"):
        Camera("/dev/video0", 1.0, Notes())


@asynccontextmanager
async def running(camera: Camera, queue: ImageQueue) -> AsyncIterator[None]:
    task = asyncio.create_task(camera.feed(queue))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_pictures_come_and_a_camera_that_breaks_off_or_sends_rubbish_is_opened_again(
    photograph: Photograph, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.05)
    picture = jpeg(photograph)
    served = MotionJpeg([picture, picture[:100] + bytes(500), picture], count=12)
    queue = ImageQueue(4, lambda: None)
    async with (
        listening(served) as host,
        running(Camera(f"http://me:secret@{host}/video", 0.0, Notes()), queue),
    ):
        await until(lambda: len(served.requests) >= 3 and queue._waiting)
    waiting = queue._waiting[-1]
    assert waiting.name == f"http://{host}/video"
    assert isinstance(waiting.source, np.ndarray)
    assert waiting.source.shape == photograph.shape
    assert waiting.source.dtype == np.uint8
    assert np.abs(waiting.source.astype(int) - photograph).mean() < 6
    said = capfd.readouterr()
    assert "trying again" in said.err
    assert "secret" not in said.err
    assert {line.partition(":")[0] for line in said.err.splitlines()} == {"overtone"}


async def test_a_picture_is_taken_only_now_and_then(
    photograph: Photograph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.05)
    served = MotionJpeg([jpeg(photograph)], count=10)
    queue = ImageQueue(100, lambda: None)
    async with listening(served) as host, running(Camera(f"http://{host}/", 3600.0, Notes()), queue):
        await until(lambda: len(served.requests) >= 2)
    assert len(queue._waiting) == 1


async def test_an_address_at_which_nothing_is_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.01)
    async with running(Camera("rtsp://me:secret@127.0.0.1:1/x", 1.0, Notes()), ImageQueue(1, lambda: None)):
        said = ""

        async with asyncio.timeout(30):
            while not said:
                said = capfd.readouterr().err
                await asyncio.sleep(0.01)
    assert said == "overtone: rtsp://127.0.0.1:1/x: Connection refused; trying again\n"


async def test_sound_alone_is_no_camera(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.01)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(16000))

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: audio/wav\r\n\r\n" + buffer.getvalue())
        writer.close()

    async with listening(play) as host:
        said = ""
        async with running(Camera(f"http://{host}/", 0, Notes()), ImageQueue(1, lambda: None)):
            async with asyncio.timeout(30):
                while "trying again" not in said:
                    said += capfd.readouterr().err
                    await asyncio.sleep(0.01)
    assert said.splitlines()[-1] == f"overtone: http://{host}/: it has no pictures; trying again"


async def test_rtsp_with_a_password(photograph: Photograph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.05)
    served = RtspCamera(film(photograph, 30))
    queue = ImageQueue(4, lambda: None)
    async with (
        listening(served) as host,
        running(Camera(f"rtsp://me:secret@{host}/stream", 0.0, Notes()), queue),
    ):
        await until(lambda: served.played >= 2 and len(queue._waiting) == 4)
    assert served.refused
    picture = queue._waiting[-1]
    assert picture.name == f"rtsp://{host}/stream"
    assert isinstance(picture.source, np.ndarray)
    assert np.abs(picture.source.astype(int) - photograph).mean() < 12
