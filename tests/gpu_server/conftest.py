"""Servers on free ports of this machine, and payloads to send to them.

Starting a server costs more than most tests, so those that leave it as it was share one. They run in the event loop
of the session, which is the server's: `pytestmark = SHARED_LOOP`.
"""

import weakref
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
import pytest_asyncio
import torch
from PIL import Image
from prometheus_client.samples import Sample

from overtone.frequency import THREE_LAYERS, Encoded, Profile, decode, encode, fit, open_rgb
from overtone.gpu_server.arrival import Kind, Outcome
from overtone.gpu_server.decoded_image import DecodedImage
from overtone.gpu_server.serve import Running
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.state import OVERHEAD
from overtone.gpu_server.telemetry.metrics import Metrics
from overtone.models import OperatingPoint, read_card, rewrite
from tests.conftest import Photograph
from tests.ladders import with_ladder
from tests.serving import Serve, quick_settings
from tests.waiting import until

# Thresholds: every answer is final, none is.
ALL, NONE = 0.0, 1.1

# Bytes of state in which a session has room for one and a half unfinished images: values, steps, logits and objects.
ROOM_FOR_ONE = 8 * (6 * 8 * 8 * 2 + 6 * 4 + 10 * 4 + OVERHEAD)

MakeSettings = Callable[..., Settings]

SHARED_LOOP = pytest.mark.asyncio(loop_scope="session")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


@pytest.fixture(scope="session")
def image(encoded: Encoded, tiny_profile: Profile) -> DecodedImage:
    """With both layers."""
    return DecodedImage(decode(encoded.layers, tiny_profile))


@pytest.fixture(scope="session")
def hostile(encoded: Encoded) -> list[tuple[bytes, bytes]]:
    """Payloads of two layers: random bytes of many lengths, and real ones cut, flipped, stretched and swapped."""
    rng = np.random.default_rng(11)
    low, high = encoded.layers
    middle = len(low) // 2
    flipped = low[:middle] + bytes([low[middle] ^ 1]) + low[middle + 1 :]
    other_profile = low[:4] + b"\xff\xff\xff\xff" + low[8:]
    noise = low[:14] + rng.bytes(len(low) - 14)
    damaged = (low[:middle], low[:-1], low + b"\0", flipped, noise, other_profile)
    return [
        *((rng.bytes(size), rng.bytes(size)) for size in (0, 1, 9, 10, 14, 100, 1000, 20_000)),
        *((each, high) for each in damaged),
        (high, low),
    ]


@pytest.fixture(scope="session")
def jpeg(photograph: Photograph) -> bytes:
    file = BytesIO()
    Image.fromarray(photograph).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture(scope="session")
def three_profile(tiny_profile: Profile) -> Profile:
    return with_ladder(tiny_profile, THREE_LAYERS, name="three")


@pytest.fixture(scope="session")
def three(photograph: Photograph, three_profile: Profile) -> Encoded:
    """The photograph in three layers."""
    return encode(fit(open_rgb(photograph), three_profile.size), three_profile)


@pytest.fixture(scope="session")
def three_checkpoint(
    tiny_checkpoint: Path, three_profile: Profile, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The random cascade on three layers; its operating points say which layers answer."""
    thresholds: dict[str, dict[str, tuple[float, ...]]] = {
        "first": {"thresholds": (ALL, ALL)},
        "second": {"thresholds": (NONE, ALL)},
        "third": {"thresholds": (NONE, NONE)},
        "jump": {"thresholds": (NONE, NONE), "all_below": (NONE, ALL)},  # from the first layer to the third
    }
    points = tuple(OperatingPoint.model_validate({"name": n, **t}) for n, t in thresholds.items())
    changes: dict[str, Any] = {"name": "three", "profile": three_profile, "temperatures": (1.0, 0.25, 0.5)}
    changes |= {"operating_points": points, "operating_point": "third"}
    path = tmp_path_factory.mktemp("three") / "three.safetensors"
    rewrite(tiny_checkpoint, read_card(tiny_checkpoint).model_copy(update=changes), path)
    return path


@pytest.fixture(scope="session")
def other_checkpoint(
    tiny_checkpoint: Path, tiny_profile: Profile, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The same network with another profile."""
    path = tmp_path_factory.mktemp("other") / "other.safetensors"
    other = replace(tiny_profile, name="other")
    rewrite(tiny_checkpoint, read_card(tiny_checkpoint).model_copy(update={"profile": other}), path)
    return path


@pytest.fixture(scope="session")
def settings(tiny_checkpoint: Path) -> MakeSettings:
    return partial(quick_settings, tiny_checkpoint)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server(serve: Serve) -> AsyncIterator[Running]:
    """The server that tests share."""
    async with serve() as shared:
        yield shared


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def three_server(serve: Serve, three_checkpoint: Path) -> AsyncIterator[Running]:
    """A server of a ladder of three layers, shared too."""
    async with serve(model=str(three_checkpoint)) as shared:
        yield shared


@pytest_asyncio.fixture(loop_scope="session")
async def channel(server: Running) -> AsyncIterator[grpc.aio.Channel]:
    async with connected(server) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def http(server: Running) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(server) as client:
        yield client


@asynccontextmanager
async def connected(server: Running) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"{server.host}:{server.grpc_port}") as channel:
        yield channel


def client_of(server: Running) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=f"http://{server.host}:{server.http_port}", trust_env=False, timeout=60.0
    )


def value(metrics: Metrics, name: str, **labels: str) -> float:
    """The value of a metric; a counter that was never touched has none."""
    return next((sample.value for sample in samples(metrics, name) if sample.labels == labels), 0.0)


def samples(metrics: Metrics, name: str) -> Iterator[Sample]:
    """The samples of one name. A registry asks all others too, and the system for those of the process."""
    for family in metrics.registry.restricted_registry([name]).collect():
        yield from (sample for sample in family.samples if sample.name == name)


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def _metrics_add_up() -> AsyncIterator[None]:
    """After every test each server has ended all that arrived at it, and its counters agree about how."""
    yield
    for metrics in list(_METRICS):
        await until(partial(_is_quiet, metrics))
        assert_adds_up(metrics)


# Those of all servers that still exist.
_METRICS: weakref.WeakSet[Metrics] = weakref.WeakSet()


@pytest.fixture(scope="session", autouse=True)
def _remembered_metrics() -> Iterator[None]:
    create = Metrics.__init__

    def remember(self: Metrics) -> None:
        create(self)
        _METRICS.add(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Metrics, "__init__", remember)
        yield


def _is_quiet(metrics: Metrics) -> bool:
    return not table(metrics, "overtone_in_flight", "face", "kind")


def table(metrics: Metrics, name: str, *labels: str) -> Counter[tuple[str, ...]]:
    """The sums of a metric's values by these labels."""
    sums: Counter[tuple[str, ...]] = Counter()
    for sample in samples(metrics, name):
        sums[tuple(sample.labels[label] for label in labels)] += int(sample.value)
    return +sums


def assert_adds_up(metrics: Metrics) -> None:
    """Arrived = answered + refused + departed + failed of each kind; requests are the images and calls of these."""
    by_kind = "face", "kind"
    assert table(metrics, "overtone_arrived_total", *by_kind) == table(
        metrics, "overtone_ended_total", *by_kind
    )
    ended = table(metrics, "overtone_ended_total", "kind", "face", "code")
    requests: Counter[tuple[str, ...]] = Counter()
    for (kind, *rest), count in ended.items():
        if kind in (Kind.IMAGE, Kind.CALL):
            requests[tuple(rest)] += count
    assert table(metrics, "overtone_requests_total", "face", "code") == requests
    outcomes = table(metrics, "overtone_ended_total", "outcome")
    assert set(outcomes) <= {(outcome,) for outcome in Outcome}


class Clock:
    """Seconds that pass only when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()
