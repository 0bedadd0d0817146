"""A device that keeps going while servers come and go, on real sockets."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from overtone.edge_client import AsyncClient, Unauthenticated
from overtone.edge_client import watcher as module
from overtone.edge_client.camera import Camera
from overtone.edge_client.image_queue import ImageQueue
from overtone.edge_client.notes import Notes
from overtone.edge_client.output import Event
from overtone.edge_client.watcher import Tally, Watcher
from overtone.frequency import Profile
from overtone.protos import overtone_pb2 as pb
from tests.conftest import Photograph
from tests.edge_client.fakes import Context, FakeCascade, Stream, confident, serve_grpc, silent
from tests.edge_client.listening import listening
from tests.edge_client.motion_jpeg import MotionJpeg, jpeg
from tests.waiting import until


class Images:
    """A source whose images come when a test says so."""

    def __init__(self) -> None:
        self.queue: ImageQueue | None = None

    async def feed(self, queue: ImageQueue) -> None:
        self.queue = queue
        await asyncio.Event().wait()

    async def put(self, *paths: Path) -> None:
        await until(lambda: self.queue)
        assert self.queue is not None
        for path in paths:
            self.queue.put(path.name, path)


class Said(Notes):
    """Keeps the errors, also those that are not printed."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[str] = []

    def error(self, what: str, kind: str = "") -> bool:
        self.errors.append(what)
        return super().error(what, kind)


class Device:
    """A watcher at work, and what it has printed."""

    def __init__(self, address: str, capacity: int = 100, timeout: float = 10.0) -> None:
        self.images = Images()
        self.answers: list[Event] = []
        self.notes = Said()
        self.watcher = Watcher(
            AsyncClient(address, timeout=timeout), self.images, capacity, self.notes, self.answers.append
        )

    @property
    def names(self) -> list[str]:
        return [event.path for event in self.answers]


@asynccontextmanager
async def working(device: Device) -> AsyncIterator[None]:
    """Run it; it is stopped at the end."""
    running = asyncio.create_task(device.watcher.run())
    try:
        yield
    finally:
        device.watcher.stop()
        await running


@pytest.fixture
def files(picture_folder: Path) -> list[Path]:
    """Twelve images of different names."""
    folder = picture_folder / "train" / "cold"
    return sorted(folder.iterdir())


@pytest.fixture
def port() -> int:
    """One that is free, for servers that come again where they were."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_PAUSE", "LONGEST_PAUSE", "PAUSE"):
        monkeypatch.setattr(module, name, 0.05)


async def test_a_server_may_come_late_go_and_come_back_with_another_model(
    tiny_profile: Profile,
    other_profile: Profile,
    files: list[Path],
    port: int,
) -> None:
    device = Device(f"grpc://127.0.0.1:{port}", timeout=1.0)
    async with working(device):
        await device.images.put(*files[:2])
        await until(lambda: device.notes.errors)
        async with serve_grpc(FakeCascade(tiny_profile, confident), port):
            await until(lambda: len(device.answers) == 2)
        await device.images.put(*files[2:6])
        await until(lambda: len(device.notes.errors) == 2)
        async with serve_grpc(FakeCascade(other_profile, confident), port):
            await until(lambda: len(device.answers) == 6)
    assert all(error.endswith("trying again for ever") for error in device.notes.errors)
    assert device.names[:2] == [path.name for path in files[:2]]
    assert sorted(device.names[2:]) == sorted(path.name for path in files[2:6])
    assert {event.label for event in device.answers[2:]} == {"other 3"}
    tally = device.watcher.tally
    assert (tally.images, tally.dropped, tally.failed) == (6, 0, 0)
    assert tally.bytes == sum(event.payload_bytes for event in device.answers) > 0


async def test_while_no_server_is_there_the_oldest_images_are_dropped_and_it_is_said(
    tiny_profile: Profile, files: list[Path], port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    device = Device(f"grpc://127.0.0.1:{port}", capacity=3)
    async with working(device):
        await device.images.put(*files)
        async with serve_grpc(FakeCascade(tiny_profile, confident), port):
            await until(lambda: len(device.answers) == 3)
    assert device.names == [path.name for path in files[-3:]]
    assert device.watcher.tally.dropped == len(files) - 3
    said = [line for line in capsys.readouterr().err.splitlines() if "dropped" in line]
    assert said == ["overtone: the queue is full: dropped the oldest image, 1 in all"]


async def test_a_damaged_file_is_a_line_and_the_others_go_on(
    tiny_profile: Profile, files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    files[1].write_bytes(files[0].read_bytes()[:200])
    files[2].unlink()
    async with serve_grpc(FakeCascade(tiny_profile, confident)) as address:
        device = Device(address)
        async with working(device):
            await device.images.put(*files[:4])
            await until(lambda: len(device.answers) == 2)
    assert device.names == [files[0].name, files[3].name]
    assert device.watcher.tally.failed == 2
    said = capsys.readouterr().err
    assert f"{files[1]}: cannot be decoded" in said
    assert f"{files[2]}: no such file" in said


async def test_an_image_that_alone_finds_no_answer_twice_is_given_up(
    tiny_profile: Profile, files: list[Path]
) -> None:
    poison: list[int] = []

    async def choosy(stream: Stream, image: pb.Image) -> None:
        if image.layers[0] in (poison or [image.layers[0]]):
            poison[:] = [image.layers[0]]
            return await silent(stream, image)
        return await stream.answer(image.id)

    async with serve_grpc(FakeCascade(tiny_profile, choosy)) as address:
        device = Device(address, timeout=1.5)
        async with working(device):
            for path in files:
                await device.images.put(path)
                await asyncio.sleep(0.05)
            await until(lambda: device.watcher.tally.failed and len(device.names) >= len(files) - 1)
    assert device.watcher.tally.failed == 1
    assert len(set(device.names)) == len(device.names) == len(files) - 1


async def test_a_server_that_does_not_want_this_device_ends_it(
    tiny_profile: Profile, files: list[Path]
) -> None:
    class Closed(FakeCascade):
        async def admit(self, context: Context) -> None:
            import grpc

            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no")

    async with serve_grpc(Closed(tiny_profile, confident)) as address:
        with pytest.raises(Unauthenticated):
            await Device(address).watcher.run()


async def test_it_can_be_stopped_while_no_server_was_ever_there(port: int, files: list[Path]) -> None:
    device = Device(f"grpc://127.0.0.1:{port}")
    async with working(device):
        await device.images.put(*files)
        await until(lambda: device.notes.errors)
    assert device.watcher.tally == Tally()


async def test_pictures_of_a_camera_are_answered(tiny_profile: Profile, photograph: Photograph) -> None:
    camera = MotionJpeg([jpeg(photograph)], count=10_000)
    async with listening(camera) as host, serve_grpc(FakeCascade(tiny_profile, confident)) as address:
        answers: list[Event] = []
        source = Camera(f"http://{host}/video", 0.05, Notes())
        watcher = Watcher(AsyncClient(address), source, 4, Notes(), answers.append)
        running = asyncio.create_task(watcher.run())
        await until(lambda: len(answers) >= 3)
        watcher.stop()
        await running
    assert {(event.path, event.label) for event in answers} == {(f"http://{host}/video", "class 3")}
    assert watcher.tally.images == len(answers)
