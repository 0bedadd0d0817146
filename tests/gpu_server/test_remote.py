"""An engine that others reach over a Unix socket, with a network that is told what to do."""

import asyncio
import socket
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from overtone.frequency import Decoded
from overtone.gpu_server.answer import Stage
from overtone.gpu_server.engine.engine import DecodedImage, Engine, Inference
from overtone.gpu_server.errors import Expired, NetworkFailed, Overloaded, Unavailable
from overtone.gpu_server.telemetry.metrics import Metrics
from overtone.gpu_server.workers import wire
from overtone.gpu_server.workers.engine_server import EngineServer
from overtone.gpu_server.workers.remote_runner import RemoteRunner
from tests.gpu_server.conftest import value
from tests.gpu_server.fakes import FakeNetwork, decoded_image, limits
from tests.gpu_server.test_engine import shed, soon
from tests.waiting import LATER, until

LIMITS = limits(low_queue=6, high_queue=6, probe_interval=0.01)


@dataclass
class Face:
    """What one process would have."""

    path: Path
    metrics: Metrics = field(default_factory=Metrics)
    health: list[str | None] = field(default_factory=list)

    async def open(self) -> None:
        runner = RemoteRunner(self.path, self.metrics, LIMITS, self._on_health)
        self.engine = Engine(runner, self.metrics, LIMITS)
        await self.engine.start()

    def submit(self, stage: Stage = Stage.LOW, mark: int = 0) -> asyncio.Task[Inference]:
        return asyncio.create_task(self.engine.submit(stage, partial(decoded_image, mark), soon()))

    def _on_health(self) -> None:
        self.health.append(self.engine.failure)


@pytest.fixture
def network() -> FakeNetwork:
    return FakeNetwork()


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:  # pytest's own paths are too long for sockets
        yield Path(directory) / "engine.sock"


@pytest.fixture
async def server(network: FakeNetwork, path: Path) -> AsyncIterator[EngineServer]:
    server = EngineServer([network], Metrics(), LIMITS, path)
    await server.start()
    yield server
    network.gate.set()
    await server.stop()


@pytest.fixture
async def faces(server: EngineServer, path: Path) -> AsyncIterator[tuple[Face, Face]]:
    faces = Face(path), Face(path)
    await asyncio.gather(*(face.open() for face in faces))
    yield faces
    for face in faces:
        await face.engine.stop()


async def busy(face: Face, network: FakeNetwork) -> asyncio.Task[Inference]:
    network.gate.clear()
    network.entered.clear()
    held = face.submit(mark=99)
    await until(network.entered.is_set)
    return held


async def test_rows_of_different_batches_may_have_different_lengths(
    faces: tuple[Face, Face], network: FakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of a detector have."""
    lengths = iter((7, 2))
    monkeypatch.setattr(network, "run", lambda _, images: np.ones((len(images), next(lengths)), np.float32))
    for length in (7, 2):
        assert len((await faces[0].submit()).row) == length


async def test_batches_are_formed_of_all_processes(faces: tuple[Face, Face], network: FakeNetwork) -> None:
    held = await busy(faces[0], network)
    tasks = [face.submit(mark=mark) for mark, face in enumerate(faces * 2)]
    await until(lambda: sum(face.engine._runner.depth(Stage.LOW) for face in faces) == 5)
    await asyncio.sleep(0.05)
    network.gate.set()
    for inference in await asyncio.gather(held, *tasks):
        assert inference.row.argmax() == 1
        assert inference.timings.compute > 0
    assert [len(marks) for _, marks in network.batches] == [1, 4]
    assert sorted(network.batches[1][1]) == [0, 1, 2, 3]


async def test_the_engine_bounds_what_all_processes_have_waiting(
    faces: tuple[Face, Face], network: FakeNetwork
) -> None:
    held = await busy(faces[0], network)
    tasks = [face.submit(mark=mark) for mark, face in enumerate(faces * 5)]
    await until(lambda: sum(task.done() for task in tasks) == 4)
    done = {task for task in tasks if task.done()}
    assert all(isinstance(task.exception(), Overloaded) for task in done)
    network.gate.set()
    await asyncio.gather(held, *(task for task in tasks if task not in done))
    assert sum(shed(face.metrics, Stage.LOW, "full") for face in faces) == 4


async def test_what_is_cancelled_is_not_computed(
    faces: tuple[Face, Face], network: FakeNetwork, server: EngineServer
) -> None:
    held = await busy(faces[0], network)
    gone, stays = faces[0].submit(mark=1), faces[1].submit(mark=2)
    await until(lambda: server.batcher.depth(Stage.LOW) == 2)
    gone.cancel()
    await until(lambda: server.batcher.depth(Stage.LOW) == 1)
    network.gate.set()
    await asyncio.gather(held, stays)
    assert network.batches[1:] == [(Stage.LOW, [2])]


async def test_a_process_that_ends_takes_its_images_with_it(
    faces: tuple[Face, Face], network: FakeNetwork, server: EngineServer
) -> None:
    held = await busy(faces[1], network)
    gone = faces[0].submit(mark=1)
    await until(lambda: server.batcher.depth(Stage.LOW) == 1)
    await faces[0].engine.stop()
    with pytest.raises(Unavailable):
        await gone
    await until(lambda: server.batcher.depth(Stage.LOW) == 0)
    network.gate.set()
    await held
    assert (await faces[1].submit()).row.argmax() == 1


async def test_a_failing_network_is_known_everywhere(faces: tuple[Face, Face], network: FakeNetwork) -> None:
    network.failing = float("inf")
    with pytest.raises(NetworkFailed):
        await faces[0].submit()
    await until(lambda: all(face.engine.failure for face in faces))
    with pytest.raises(Unavailable):
        await faces[1].submit()
    network.failing = 0
    await until(lambda: not any(face.engine.failure for face in faces))
    await asyncio.gather(*(face.submit() for face in faces))


async def test_an_engine_that_ends_and_comes_back(
    faces: tuple[Face, Face], network: FakeNetwork, server: EngineServer, path: Path
) -> None:
    held = await busy(faces[0], network)
    for connection in list(server.connections):
        connection._transport.abort()  # as when its process is killed
    with pytest.raises(NetworkFailed):
        await held
    network.gate.set()
    await until(lambda: not any(face.engine.failure for face in faces))
    assert faces[0].health[-2:] == ["the engine has ended and is started again", None]
    await asyncio.gather(*(face.submit() for face in faces))


def test_a_runner_that_stops_under_load_ends_its_sending_thread(path: Path) -> None:
    runner = RemoteRunner(path, Metrics(), LIMITS, lambda: None)
    for queued in (wire.write_remove(1), wire.write_remove(2), None):  # as `stop` finds and leaves it
        runner._outbox.put(queued)
    thread = threading.Thread(target=runner._send, daemon=True)
    thread.start()
    thread.join(LATER)
    assert not thread.is_alive()


async def test_expired_and_damaged(faces: tuple[Face, Face], network: FakeNetwork) -> None:
    held = await busy(faces[0], network)
    with pytest.raises(Expired):
        await faces[1].engine.submit(Stage.LOW, decoded_image, asyncio.get_running_loop().time() + 0.05)
    with socket.socket(socket.AF_UNIX) as other:
        other.connect(str(faces[0].path))
        other.sendall(wire.HEADER.pack(2**31, 1) + b"x")
        other.setblocking(False)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(LATER):
            while await loop.sock_recv(other, 100):
                pass  # until it is closed
    network.gate.set()
    await held
    assert value(faces[1].metrics, "overtone_shed_total", stage="low", reason="expired") == 1


def test_an_image_survives_the_way() -> None:
    values = np.arange(24, dtype=np.int16).reshape(6, 2, 2)
    image = DecodedImage(
        Decoded(values, np.linspace(1, 2, 6, dtype=np.float32), 5, 2), np.ones(3, np.float32)
    )
    messages = wire.Messages()
    sent = wire.write_ticket(wire.TicketMessage(7, Stage.HIGH, 1.5, 2.5, image))
    parts = [bytes(sent[n : n + 5]) for n in range(0, len(sent), 5)]
    ((kind, body),) = [found for part in parts for found in messages.feed(part)]
    assert kind is wire.Kind.TICKET
    read = wire.read_ticket(body)
    assert (read.number, read.stage, read.since, read.expires) == (7, Stage.HIGH, 1.5, 2.5)
    assert (read.image.layers, read.image.decoded.quality) == (2, 5)
    assert np.array_equal(read.image.decoded.values, values)
    assert np.array_equal(read.image.decoded.steps, image.decoded.steps)
    assert read.image.low_row is not None
    assert read.image.low_row.tolist() == [1, 1, 1]
