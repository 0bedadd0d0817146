"""The servers that are measured, and how each is started on a free port of this machine."""

import asyncio
import contextlib
import importlib.util
import os
import sys
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from overtone.benchmarks.child import Child, ChildError
from overtone.benchmarks.free_ports import free_ports
from overtone.benchmarks.process_tree import end_tree
from overtone.benchmarks.serve.peers import classifier
from overtone.benchmarks.serve.workload import Form, Network, Stage, Workload
from overtone.benchmarks.server import ENVIRONMENT, READY, START_SECONDS
from overtone.gpu_server.networks.stub import DEVICE as STUB

POLL = 0.1
# Seconds until a peer that was told to end is killed; nobody waits for an answer then.
PEER_GRACE = 2.0
# Peers report their use to their makers unless they are told not to; and Ray would keep a token for its own use.
ALONE = {"BENTOML_DO_NOT_TRACK": "True", "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}


@dataclass(frozen=True)
class Endpoint:
    """One way to send images to a server; its name stands in the results."""

    name: str
    kind: Literal["http", "session"]
    path: str = "/"
    content_type: str = "application/octet-stream"
    form: Form = "joined"


OURS = (
    Endpoint("gRPC sessions", "session"),
    Endpoint("REST", "http", "/v1/images", "application/vnd.overtone"),
)


@dataclass(frozen=True)
class Peer:
    """Another model server: the package that it needs, and the module in `peers` that runs it."""

    name: str
    package: str
    module: str
    endpoint: Endpoint

    @property
    def installed(self) -> bool:
        """Whether its package is installed."""
        return importlib.util.find_spec(self.package) is not None


PEERS = (
    Peer("LitServe", "litserve", "litserve_app", Endpoint("LitServe", "http", "/predict")),
    Peer("Ray Serve", "ray", "ray_app", Endpoint("Ray Serve", "http")),
    Peer("BentoML", "bentoml", "bentoml_app", Endpoint("BentoML", "http", "/", "application/json", "base64")),
)


@dataclass(frozen=True)
class Served:
    """The checkpoint and network that every server serves.

    Attributes:
        checkpoint: with the operating point of the workload.
        device: the device that the real network runs on.
        network: the real network, or the stub.
        stage: which network runs.
        batch: the largest batch of the peers.
        workers: how many workers of a peer run the network.
    """

    checkpoint: Path
    device: str
    network: Network
    stage: Stage
    batch: int
    workers: int

    @property
    def run_on(self) -> str:
        """The device in the words of the server's option."""
        return STUB if self.network == "stub" else self.device


@dataclass(frozen=True)
class Running:
    """A server that answers: the process it was started as, and "host:port" of its endpoints by their kind."""

    pid: int
    addresses: dict[str, str]


@contextlib.asynccontextmanager
async def our_server(served: Served) -> AsyncIterator[Running]:
    """`overtone serve`, as it is by default; variables `OVERTONE_...` hold for it as always.

    Raises:
        ChildError: it did not start.
    """
    arguments = ("--model", str(served.checkpoint), "--device", served.run_on)
    ports = ("--host", "127.0.0.1", "--grpc-port", "0", "--http-port", "0")
    command = (sys.executable, "-m", "overtone", "serve", *arguments, *ports)
    async with _started("the server", command, ENVIRONMENT) as process:
        ready = READY.fullmatch(line := await process.line(START_SECONDS))
        if ready is None:
            raise ChildError(f"the server printed {line!r} instead of its addresses")
        yield Running(process.pid, {"session": ready["grpc"], "http": ready["rest"]})


@contextlib.asynccontextmanager
async def peer_server(peer: Peer, served: Served, workload: Workload) -> AsyncIterator[Running]:
    """Another model server, once it has answered an image.

    Raises:
        ChildError: it did not start.
    """
    (port,) = free_ports(1)
    environment: dict[str, str | None] = {
        classifier.MODEL: str(served.checkpoint),
        classifier.DEVICE: served.run_on,
        classifier.STAGE: served.stage,
        classifier.SIZE: str(served.batch),
        classifier.WORKERS: str(served.workers),
        classifier.PORT: str(port),
        **ALONE,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    command = (sys.executable, "-m", "overtone.benchmarks.serve.peers", peer.module)
    async with _started(peer.name, command, environment, PEER_GRACE) as process:
        address = f"127.0.0.1:{port}"
        url = f"http://{address}{peer.endpoint.path}"
        await _answering(process, url, workload.bodies(peer.endpoint.form), peer.endpoint.content_type)
        yield Running(process.pid, {"http": address})


@contextlib.asynccontextmanager
async def _started(
    name: str, command: Sequence[str], environment: Mapping[str, str | None], grace: float = 9.0
) -> AsyncIterator[Child]:
    """Start a server; on leaving, end it and every process that it has started."""
    async with Child.running(name, *command, environment=environment, grace=grace) as process:
        try:
            yield process
        finally:
            await asyncio.to_thread(end_tree, process.pid, grace)


async def _answering(process: Child, url: str, bodies: Sequence[bytes], content_type: str) -> None:
    """Wait until a request is answered.

    Raises:
        ChildError: the process ended, or nothing was answered in time.
    """
    ended = asyncio.create_task(process.line(START_SECONDS))
    try:
        while not ended.done():
            if await asyncio.to_thread(_answers, url, bodies[0], content_type):
                return
            await asyncio.sleep(POLL)
        raise ChildError(f"{process.name} printed {ended.result()!r} and does not answer")
    finally:
        ended.cancel()
        await asyncio.gather(ended, return_exceptions=True)


def _answers(url: str, body: bytes, content_type: str) -> bool:
    request = urllib.request.Request(url, body, {"content-type": content_type})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with contextlib.suppress(OSError), opener.open(request, timeout=10) as reply:
        return bool(reply.status == 200)
    return False
