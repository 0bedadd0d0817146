"""Server processes with the tiny checkpoint, and device processes that send images to them.

A server takes seconds to start, so tests share one unless they kill or stop it, and run in one process
(xdist_group). Where a server needs settings of its own and nothing depends on its process, `serve` runs it in the
test's own process, which takes a tenth of a second.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from overtone.benchmarks.child import Child
from overtone.link import Link
from tests.conftest import Photograph

# Seconds for anything that should take a moment: the machine may be busy, and no test is about speed.
LATER = 120.0
READY = re.compile(r"overtone serving tiny: grpc (\S+), http (\S+)")
SCHEMES = {"grpc": "grpc", "rest": "http"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(5 * LATER))


@dataclass(frozen=True)
class Server:
    """A server process that is ready."""

    process: subprocess.Popen[str]
    grpc: str
    rest: str
    errors: Path

    def metric(self, name: str) -> float:
        """The value of a counter, summed over its labels; with labels in its name, as they are printed, of one."""
        with urllib.request.urlopen(f"http://{self.rest}/metrics", timeout=LATER) as response:
            lines = response.read().decode()
        found = re.findall(rf"^{re.escape(name)}(?:{{.*}})? (\S+)$", lines, re.MULTILINE)
        return sum(map(float, found))

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(LATER)


Start = Callable[[], Server]


@contextlib.contextmanager
def _starting(checkpoint: Path, folder: Path) -> Iterator[Start]:
    processes: list[subprocess.Popen[str]] = []

    def start() -> Server:
        errors = folder / f"server-{len(processes)}.txt"
        ports = ("--grpc-port", "0", "--http-port", "0", "--threads", "1")
        command = [sys.executable, "-m", "overtone", "serve", "--model", str(checkpoint), *ports]
        with errors.open("w") as stderr:
            process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env={**os.environ, "OVERTONE_PAUSE": "0"},
            )
        processes.append(process)
        assert process.stdout is not None
        ready = READY.match(process.stdout.readline())
        if ready is None:
            raise RuntimeError(f"the server did not start: {errors.read_text()}")
        return Server(process, ready[1], ready[2], errors)

    try:
        yield start
    finally:
        for process in processes:
            with process:  # closes its pipe and waits
                process.kill()


@pytest.fixture(scope="session")
def server(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server that tests share; they leave it as it was."""
    with _starting(tiny_checkpoint, tmp_path_factory.mktemp("server")) as start:
        yield start()


@pytest.fixture
def start(tiny_checkpoint: Path, tmp_path: Path) -> Iterator[Start]:
    """Start a server that the test may kill or stop."""
    with _starting(tiny_checkpoint, tmp_path) as starting:
        yield starting


@pytest.fixture(scope="session")
def image(photograph: Photograph, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images") / "photograph.png"
    Image.fromarray(photograph).save(path)
    return path


class Device:
    """A device process with its session, which classifies one image at a time."""

    def __init__(self, child: Child) -> None:
        self._child = child

    async def classify(self, path: Path) -> dict[str, Any]:
        await self._child.tell(str(path))
        heard: dict[str, Any] = json.loads(await self._child.line(LATER))
        return heard


Connect = Callable[..., AbstractAsyncContextManager[Device]]


@pytest.fixture
def connect() -> Connect:
    """Start a device process on the far side of a link: connect(link, "grpc", "--policy", "at_once")."""

    @asynccontextmanager
    async def connecting(link: Link, transport: str, *options: str) -> AsyncIterator[Device]:
        address = f"{SCHEMES[transport]}://{link.address}"
        module = "overtone.benchmarks.demo.device"
        command = (sys.executable, "-m", module, address, "--timeout", str(LATER / 2), *options)
        async with Child.running("the device", *command) as child:
            await child.line(LATER)
            yield Device(child)

    return connecting


async def eventually(happened: Callable[[], bool]) -> None:
    """Wait for something another process does."""
    async with asyncio.timeout(LATER):
        while not await asyncio.to_thread(happened):
            await asyncio.sleep(0.01)
