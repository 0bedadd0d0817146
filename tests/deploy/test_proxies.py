"""A rolling restart of two replicas behind a proxy, configured as `deploy` configures it, loses no image."""

import asyncio
import shutil
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from overtone.benchmarks.replicas.nginx import command
from overtone.edge_client import Answer, AsyncClient, Result, encode_image
from overtone.frequency import Profile, part_of
from overtone.protos import overtone_pb2 as pb
from tests.conftest import Photograph
from tests.edge_client import fakes
from tests.waiting import until

DEPLOY = Path(__file__).parents[2] / "deploy"
NewPort = Callable[[], int]


class Replica:
    """A server that answers after a moment, so that images are in flight when it is killed.

    Attributes:
        ready: whether it has loaded its model; before, it refuses everything.
        answered: how many images it has answered.
    """

    def __init__(self, profile: Profile, grpc_port: int, http_port: int) -> None:
        self.profile, self.grpc_port, self.http_port = profile, grpc_port, http_port
        self.ready = True
        self.answered = 0
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        cascade, app = Loading(self, self._answer), fakes.FakeRest(self.profile, self._reply)

        async def reply(request: fakes.Request) -> fakes.Response:
            return await app(request) if self.ready else fakes.rest_error(503, "UNAVAILABLE")

        self._stack = AsyncExitStack()
        await self._stack.enter_async_context(fakes.serve_grpc(cascade, self.grpc_port))
        await self._stack.enter_async_context(fakes.serve_rest(reply, self.http_port))

    async def has_answered(self, images: int) -> None:
        """Wait until it has answered so many more images."""
        enough = self.answered + images
        await until(lambda: self.answered >= enough)

    async def kill(self) -> None:
        """Break all connections, and take no more."""
        await self._stack.aclose()

    async def _answer(self, stream: fakes.Stream, image: pb.Image) -> None:
        await asyncio.sleep(0.02)
        await stream.answer(image.id)
        self.answered += 1

    async def _reply(self, request: fakes.Request) -> fakes.Response:
        await asyncio.sleep(0.02)
        self.answered += 1
        return fakes.rest_answer()


class Loading(fakes.FakeCascade):
    """Refuses streams as long as its replica is not ready."""

    def __init__(self, replica: Replica, behaviour: fakes.Behaviour) -> None:
        super().__init__(replica.profile, behaviour)
        self.replica = replica

    async def admit(self, context: fakes.Context) -> None:
        if not self.replica.ready:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the model is still loading")


def nginx(folder: Path, grpc_port: int, http_port: int, replicas: list[Replica]) -> list[str]:
    """The command that runs nginx with the configuration of `deploy`."""
    ports = [(replica.grpc_port, replica.http_port) for replica in replicas]
    return command(folder, (grpc_port, http_port), ports, fail_timeout="1s")


def envoy(folder: Path, grpc_port: int, http_port: int, replicas: list[Replica]) -> list[str]:
    """The command that runs Envoy with the configuration of `deploy`."""
    text = (DEPLOY / "envoy.yaml").read_text().replace("interval: 1s", "interval: 0.1s")
    for number, replica in enumerate(replicas, 1):
        for port, own in ((50051, replica.grpc_port), (8080, replica.http_port)):
            text = text.replace(
                f"address: server-{number}, port_value: {port}", f"address: 127.0.0.1, port_value: {own}"
            )
        checked = "health_check_config: {port_value: 8080}"
        text = text.replace(checked, f"health_check_config: {{port_value: {replica.http_port}}}", 1)
    for port, own in ((50051, grpc_port), (8080, http_port)):
        text = text.replace(f"address: 0.0.0.0, port_value: {port}", f"address: 127.0.0.1, port_value: {own}")
    config = folder / "envoy.yaml"
    config.write_text(text)
    return ["envoy", "-c", str(config), "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "off"]


@asynccontextmanager
async def running(command: list[str], ports: list[int]) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(*command, stdout=DEVNULL, stderr=DEVNULL)
    try:
        for port in ports:
            await _accepts(port, process)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def _accepts(port: int, process: Process) -> None:
    while process.returncode is None:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            await writer.wait_closed()
            return
    pytest.fail(f"the proxy ended with {process.returncode}")


async def load(
    address: str, image: Photograph, profile: Profile, over: asyncio.Event
) -> list[Result[Answer]]:
    """The results of a device that sends one image after the other, several in flight, until it is over."""
    coded = encode_image(image, part_of(profile))

    def images() -> Iterator[Any]:
        while not over.is_set():
            yield coded

    async with AsyncClient(address, timeout=30.0) as client:
        return [result async for result in client.stream(images())]


@pytest.mark.parametrize("proxy", [nginx, envoy])
async def test_a_rolling_restart_loses_no_image(
    proxy: Callable[[Path, int, int, list[Replica]], list[str]],
    photograph: Photograph,
    tiny_profile: Profile,
    tmp_path: Path,
    unused_tcp_port_factory: NewPort,
) -> None:
    if shutil.which(proxy.__name__) is None:
        pytest.skip(f"{proxy.__name__} is not installed")
    replicas = [Replica(tiny_profile, unused_tcp_port_factory(), unused_tcp_port_factory()) for _ in range(2)]
    grpc_port, http_port = unused_tcp_port_factory(), unused_tcp_port_factory()
    for replica in replicas:
        await replica.start()
    over = asyncio.Event()
    proxied = proxy(tmp_path, grpc_port, http_port, replicas)
    async with running(proxied, [grpc_port, http_port]), asyncio.TaskGroup() as tasks:
        addresses = [f"grpc://127.0.0.1:{grpc_port}", f"http://127.0.0.1:{http_port}"]
        loads = [
            tasks.create_task(load(address, photograph, tiny_profile, over))
            for address in addresses
            for _ in range(2)
        ]
        first, second = replicas
        await until(lambda: first.answered + second.answered > 20)
        await first.kill()
        await second.has_answered(20)
        first.ready = False
        await first.start()
        await second.has_answered(20)
        await second.kill()
        await asyncio.sleep(0.7)  # now there is none
        first.ready = True
        await first.has_answered(20)
        await second.start()
        await first.kill()
        await second.has_answered(20)
        over.set()
    for replica in replicas:
        await replica.kill()
    results = [task.result() for task in loads]
    assert all(results)
    assert [str(result.error) for each in results for result in each if result.answer is None] == []
