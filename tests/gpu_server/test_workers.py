"""One server of several processes, which are killed, reloaded and stopped while it serves.

Most tests share one server: starting one costs more than what they do to it. Each leaves it serving.
"""

import asyncio
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from overtone.frequency import Encoded
from overtone.gpu_server.errors import StartError
from overtone.gpu_server.workers import supervisor
from overtone.gpu_server.workers.supervisor import run_workers, worker_count
from overtone.protos import overtone_pb2 as pb
from tests.gpu_server.conftest import SHARED_LOOP, MakeSettings
from tests.gpu_server.test_grpc_server import Device, session
from tests.gpu_server.test_reload import rename
from tests.gpu_server.test_rest_api import ALWAYS, NEVER, first, further

psutil = pytest.importorskip("psutil")

pytestmark = pytest.mark.timeout(300)

# Seconds for processes to start and end on a machine that may be busy.
LATER = 120.0
FACES = 2
ENGINE = "overtone-engine"
# Connections to each of which another face may answer: one of two faces gets none of them once in 2,048 times.
CONNECTIONS = 12

Key = tuple[str, ...]
Test = Callable[..., Coroutine[None, None, None]]


def slow(test: Test) -> Test:
    """A test of the server that others use too, or of one of its own."""
    marked: Test = pytest.mark.slow(SHARED_LOOP(test))
    return marked


@dataclass
class Server:
    process: subprocess.Popen[str]
    model: Path
    log: Path
    grpc: str
    http: str

    def client(self) -> httpx.AsyncClient:
        """With connections of its own, which may reach another face than those of the last one."""
        return httpx.AsyncClient(base_url=self.http, trust_env=False, timeout=LATER)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Device]:
        """In which low never suffices, on a connection of its own."""
        alone = [("grpc.use_local_subchannel_pool", 1)]
        async with (
            grpc.aio.insecure_channel(self.grpc, options=alone) as channel,
            session(channel, "never") as device,
        ):
            yield device

    def pids(self, prefix: str = "overtone-") -> dict[int, str]:
        """The processes with such names."""
        found = {}
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if child.name().startswith(prefix) and child.status() != psutil.STATUS_ZOMBIE:
                    found[child.pid] = child.name()
            except psutil.NoSuchProcess:
                continue
        return found

    async def kill(self, name: str) -> int:
        """Kill a process, wait until there is another one of its name, and return the id of the first one."""
        (before,) = self.pids(name)
        os.kill(before, signal.SIGKILL)
        await until(lambda: len(found := self.pids(name)) == 1 and before not in found)
        return before

    async def said(self, pattern: str) -> None:
        """Wait until it has logged something like this."""
        await until(lambda: re.search(pattern, self.log.read_text()))

    async def ready(self) -> None:
        """Wait until all faces are."""
        await until(lambda: len(self.pids("overtone-face-")) == FACES)
        in_a_row = 0
        async with asyncio.timeout(LATER):
            while in_a_row < CONNECTIONS:
                in_a_row = in_a_row + 1 if await self._status() == 200 else 0

    async def _status(self) -> int:
        try:
            async with self.client() as http:
                return (await http.get("/readyz")).status_code
        except httpx.TransportError:
            return 0

    async def table(self, name: str, *labels: str) -> Counter[Key]:
        """The sums of a metric's values by these labels."""
        async with self.client() as http:
            text = (await http.get("/metrics")).text
        sums: Counter[Key] = Counter()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name:
                    sums[tuple(sample.labels[label] for label in labels)] += int(sample.value)
        return +sums

    async def adds_up(self) -> None:
        """Wait until nothing is in flight, and see that whatever arrived at any process has ended."""
        async with asyncio.timeout(LATER):
            while await self.table("overtone_in_flight", "face", "kind"):
                await asyncio.sleep(0.05)
        by_kind = "face", "kind"
        arrived = await self.table("overtone_arrived_total", *by_kind)
        assert arrived == await self.table("overtone_ended_total", *by_kind)
        ended = await self.table("overtone_ended_total", "face", "kind", "code")
        requests: Counter[Key] = Counter()
        for (face, kind, code), count in ended.items():
            if kind in ("image", "call"):
                requests[face, code] += count
        assert requests == await self.table("overtone_requests_total", "face", "code")


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(LATER):
        while not condition():
            await asyncio.sleep(0.02)


def start(log: Path, **settings: object) -> subprocess.Popen[str]:
    given = {"grpc_port": 0, "http_port": 0, "device": "cpu", "threads": 1, "batch_sizes": "1,2", "pause": 0}
    given |= {"linger": 0.5, "workers": FACES, "standing_delay": 0} | settings
    variables = {f"OVERTONE_{name.upper()}": str(value) for name, value in given.items()}
    with log.open("w") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "overtone", "serve"],
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    folder = tmp_path_factory.mktemp("workers")
    model, log = folder / "model.safetensors", folder / "log"
    rename(tiny_checkpoint, model, "before")
    process = start(log, model=model, device="cpu,cpu")
    try:
        assert process.stdout
        line = await asyncio.to_thread(process.stdout.readline)
        assert line.startswith("overtone serving before: grpc 127.0.0.1:"), log.read_text()
        ports = [part.split(",")[0].strip() for part in line.split("127.0.0.1:")[1:]]
        yield Server(process, model, log, f"127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}")
    finally:
        process.kill()
        process.communicate()


@slow
async def test_a_further_layer_is_answered_by_whichever_face_it_reaches(
    server: Server, encoded: Encoded
) -> None:
    before = (await server.table("overtone_answers_total"))[()]
    faces = set()
    for _ in range(CONNECTIONS):
        async with server.client() as http:
            asked = await http.post("/v1/images", params=NEVER, content=first(encoded))
        assert asked.status_code == 202, asked.text
        faces.add(asked.json()["token"].partition("-")[0])
        async with server.client() as http:
            reply = await http.post(asked.headers["location"], content=further(encoded))
        assert (reply.status_code, reply.json()["stage"]) == (200, "high"), reply.text
    assert faces == {"0", "1"}
    assert (await server.table("overtone_answers_total"))[()] == before + CONNECTIONS
    assert (await server.table("overtone_batch_size_count"))[()] > 0
    assert (await server.table("process_resident_memory_bytes"))[()] > 0
    await server.adds_up()


@slow
async def test_what_killed_faces_had_has_failed(server: Server, encoded: Encoded) -> None:
    async with AsyncExitStack() as stack:
        devices = [await stack.enter_async_context(server.session()) for _ in range(CONNECTIONS)]
        for device in devices:
            await device.image(1, encoded.layers[0])
            assert isinstance(await device.hear(), pb.NeedMore)
        async with server.client() as http:
            asked = await http.post("/v1/images", params=NEVER, content=first(encoded))
        killed = [await server.kill(f"overtone-face-{number}") for number in range(FACES)]
        assert {await device.code() for device in devices} == {grpc.StatusCode.UNAVAILABLE}
    await server.ready()
    async with server.client() as http:
        reply = await http.post(asked.headers["location"], content=further(encoded))
    assert reply.status_code == 410  # and so the client sends all layers again
    failed = await server.table("overtone_ended_total", "kind", "outcome")
    assert failed["stream", "failed"] == CONNECTIONS
    assert failed["image", "failed"] == CONNECTIONS
    await server.adds_up()
    log = server.log.read_text()
    for number, pid in enumerate(killed):
        assert f"overtone-face-{number} (pid {pid}): ended by signal 9; it is started again" in log


@slow
async def test_a_killed_engine_is_started_again_and_meanwhile_images_are_refused(
    server: Server, encoded: Encoded
) -> None:
    killed = await server.kill(ENGINE)
    codes: Counter[int] = Counter()
    async with asyncio.timeout(LATER), server.client() as http:
        while 200 not in codes:
            codes[(await http.post("/v1/images", params=ALWAYS, content=first(encoded))).status_code] += 1
    assert set(codes) <= {200, 500, 503}
    await server.ready()
    await server.adds_up()
    assert f"{ENGINE} (pid {killed}): ended by signal 9; it is started again" in server.log.read_text()


@slow
async def test_a_signal_gives_all_faces_another_model_and_old_sessions_finish(
    server: Server, encoded: Encoded
) -> None:
    (engine,) = server.pids(ENGINE)
    async with AsyncExitStack() as stack:
        old = [await stack.enter_async_context(server.session()) for _ in range(CONNECTIONS)]
        for device in old:
            await device.image(1, encoded.layers[0])
            assert isinstance(await device.hear(), pb.NeedMore)
        rename(server.model, server.model, "after")
        server.process.send_signal(signal.SIGHUP)
        for device in old:
            assert isinstance(await device.hear(), pb.GoAway)
            await device.further(1, encoded.layers[1])
            assert isinstance(await device.hear(), pb.Answer)
            assert await device.hear() is None
    for _ in range(CONNECTIONS):
        async with server.client() as http:
            reply = await http.post("/v1/images", params=ALWAYS, content=first(encoded))
        assert reply.json()["model"] == "after"
    await until(lambda: engine not in server.pids(ENGINE))
    assert len(server.pids(ENGINE)) == 1
    await server.adds_up()


@slow
async def test_a_model_that_cannot_be_loaded_changes_nothing(server: Server, encoded: Encoded) -> None:
    before, whole = server.pids(), server.model.read_bytes()
    for damaged, why in (
        (whole[: len(whole) // 2], "cannot be read"),
        (whole[:-1] + bytes([whole[-1] ^ 1]), "its weights are damaged"),  # which only an engine sees
    ):
        server.model.write_bytes(damaged)
        server.process.send_signal(signal.SIGHUP)
        await server.said(rf"the model stays as it was: .*{re.escape(str(server.model))}: {why}")
    await until(lambda: server.pids() == before)
    async with server.client() as http:
        assert (await http.post("/v1/images", params=ALWAYS, content=first(encoded))).status_code == 200
    await server.kill(ENGINE)  # another one has the model of the others, whatever the file is
    await server.ready()
    async with server.client() as http:
        assert (await http.post("/v1/images", params=ALWAYS, content=first(encoded))).status_code == 200
    await server.adds_up()


@slow
async def test_told_to_stop_it_finishes_what_has_begun(server: Server, encoded: Encoded) -> None:
    async with AsyncExitStack() as stack:
        devices = [await stack.enter_async_context(server.session()) for _ in range(CONNECTIONS)]
        for device in devices:
            await device.image(1, encoded.layers[0])
            assert isinstance(await device.hear(), pb.NeedMore)
        children = server.pids()
        for pid in (server.process.pid, *children):  # systemd tells all of them
            os.kill(pid, signal.SIGTERM)
        for device in devices:
            assert isinstance(await device.hear(), pb.GoAway)
            await device.further(1, encoded.layers[1])
            assert isinstance(await device.hear(), pb.Answer)
            assert await device.hear() is None
    assert await asyncio.to_thread(server.process.wait, LATER) == 0
    assert not any(psutil.pid_exists(pid) for pid in children)
    assert "did not stop in time" not in server.log.read_text()


@pytest.mark.parametrize("content", [None, b"not a checkpoint"])
def test_a_model_that_is_none(settings: MakeSettings, tmp_path: Path, content: bytes | None) -> None:
    model = tmp_path / "bad.safetensors"
    if content:
        model.write_bytes(content)
    with pytest.raises(StartError, match=re.escape(f"cannot serve {model}: {model}: ")):
        run_workers(settings(model=str(model)), 2)


def test_ports_that_are_taken_are_named(
    settings: MakeSettings, unused_tcp_port_factory: Callable[[], int]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(StartError, match=rf"cannot listen on 127.0.0.1:{port} for HTTP"):
            run_workers(settings(http_port=port), 2)


@pytest.mark.parametrize("device", ["cpu", "cpu,cpu", "stub", "stub,stub"])
def test_without_a_gpu_everything_is_in_one_process(settings: MakeSettings, device: str) -> None:
    assert worker_count(settings(device=device)) == 1
    assert worker_count(settings(device=device, workers=3)) == 3


def test_a_device_that_is_none(settings: MakeSettings) -> None:
    with pytest.raises(StartError, match="not a device"):
        worker_count(settings(device="toaster"))


def test_the_copy_of_a_model_whose_engine_has_died_is_removed(
    settings: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is started here, so the first engine is one that has ended; the next one says that it is ready."""
    monkeypatch.setattr(supervisor, "SignalListener", lambda kill: None)
    server = supervisor._Supervisor(settings(), FACES, tmp_path)
    generation = server._engine.generation.next
    generation.copy(server._source)
    server._next = supervisor._Engine(settings(), generation)
    server._next.messages, theirs = multiprocessing.Pipe(duplex=False)
    theirs.send(("ready", ""))
    theirs.close()
    server._switch_engine()
    server._engine.close()
    assert server._engine.generation == generation
    assert list(tmp_path.glob("*.safetensors")) == [generation.model]
