"""One device with many images in flight: over real sockets, and what counts of a stream."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from overtone.benchmarks.load import fleet, stream
from overtone.benchmarks.load.baseline import Baseline
from overtone.benchmarks.load.clients import DeviceConfig, Kind, LoadClient, Reply
from overtone.benchmarks.load.fleet import GONE
from overtone.benchmarks.load.prepared import PreparedImage, prepare
from overtone.benchmarks.load.stream import StreamConfig, run_stream
from overtone.benchmarks.server import Server
from overtone.edge_client import OvertoneError, Unavailable

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("benchmarks")]
BASELINE = Baseline("webp", 32, 50)
NOWHERE = "127.0.0.1:1"
Patch = Callable[[LoadClient], None]


@pytest.mark.parametrize("kind", ["session", "rest", "upload"])
async def test_images_in_flight_share_a_link(server: Server, labelled_folder: Path, kind: Kind) -> None:
    baseline = BASELINE if kind == "upload" else None
    device = DeviceConfig(kind, "on_demand", "always", baseline=baseline)
    paths = sorted((labelled_folder / "val").rglob("*.png"))
    images = prepare(server.profile, server.labels, paths, baseline=baseline)
    done: list[None] = []
    found = await run_stream(
        StreamConfig(device, "3g", in_flight=4, warmup=2),
        server.addresses[device.transport],
        images,
        9,
        lambda: done.append(None),
    )
    assert (len(found.samples), found.errors, len(done)) == (9, [], 9)
    assert found.setup_up > 0 < found.seconds
    assert all(each.correct is not None and each.latency_ms > each.compute_ms > 0 for each in found.samples)
    # What crosses the link between two answers is of other images, but as much: all but the four in flight.
    payload = sum(each.payload for each in found.samples)
    for name in ("up", "wire_up"):
        assert 0.3 * payload < sum(getattr(each, name) for each in found.samples)
    assert sum(each.wire_down for each in found.samples) > 0


class Fake:
    """Answers in turn, and remembers which images it was sent and how many were in flight."""

    def __init__(self, failing: Callable[[int], OvertoneError | None] = lambda number: None) -> None:
        self.sent: list[int] = []
        self.in_flight = self.most = 0
        self._failing = failing

    async def send(self, image: PreparedImage) -> Reply:
        assert image.truth is not None
        number = len(self.sent)
        self.sent.append(image.truth)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        await asyncio.sleep(0)
        self.in_flight -= 1
        error = self._failing(number)
        if error is not None:
            raise error
        return Reply(image.truth, "low", 1, image.truth, [image.truth], 0.1, 10.0)


IMAGES = [PreparedImage(b"", number, 0.0) for number in range(10)]


@pytest.fixture
def connect_to(monkeypatch: pytest.MonkeyPatch) -> Patch:
    def patch(client: LoadClient) -> None:
        @asynccontextmanager
        async def open_client(*_: object) -> AsyncIterator[LoadClient]:
            yield client

        monkeypatch.setattr(fleet, "open_client", open_client)
        monkeypatch.setattr(stream, "PAUSE", 0.0)

    return patch


async def test_neither_the_first_nor_the_last_images_count(connect_to: Patch) -> None:
    client = Fake()
    connect_to(client)
    config = StreamConfig(DeviceConfig(), "unlimited", in_flight=3, warmup=2)
    found = await run_stream(config, NOWHERE, IMAGES, 6)
    assert client.most == 3
    # Two to warm up, three that fill the pipe, six that count, three that keep it full until they are answered.
    assert client.sent == [5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert [sample.payload for sample in found.samples] == [0, 1, 2, 3, 4, 5]


async def test_failures_are_counted_and_the_rest_goes_on(connect_to: Patch) -> None:
    # The first fails while the pipe is being filled, the other among those that count.
    connect_to(Fake(lambda number: OvertoneError("refused") if number in (0, 7) else None))
    config = StreamConfig(DeviceConfig(), "unlimited", in_flight=3)
    found = await run_stream(config, NOWHERE, IMAGES, 8)
    assert (len(found.samples), found.errors) == (7, ["refused"])


async def test_a_server_that_has_gone_is_not_waited_for(connect_to: Patch) -> None:
    client = Fake(lambda number: Unavailable("nobody answers") if number >= 20 else None)
    connect_to(client)
    with pytest.raises(Unavailable, match="nobody answers"):
        await run_stream(StreamConfig(DeviceConfig(), "unlimited", in_flight=4), NOWHERE, IMAGES, 1000)
    assert 20 + GONE <= len(client.sent) <= 20 + GONE + 4
