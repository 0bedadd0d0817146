from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from overtone.benchmarks.load import fleet
from overtone.benchmarks.load.baseline import Baseline
from overtone.benchmarks.load.clients import DeviceConfig, Kind, Reply
from overtone.benchmarks.load.fleet import GONE, FleetConfig, run_fleet
from overtone.benchmarks.load.prepared import PreparedImage, prepare
from overtone.benchmarks.server import Server
from overtone.benchmarks.sweep.timeline import trace
from overtone.edge_client import OvertoneError, Policy, Unavailable

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("benchmarks")]
BASELINE = Baseline("webp", 32, 50)


def images(server: Server, folder: Path, baseline: Baseline | None = None) -> list[PreparedImage]:
    paths = sorted((folder / "val").rglob("*.png"))
    return prepare(server.profile, server.labels, paths, baseline=baseline)


@pytest.mark.parametrize("kind", ["session", "one-shot", "rest", "upload"])
async def test_a_fleet_shares_the_images(server: Server, labelled_folder: Path, kind: Kind) -> None:
    baseline = BASELINE if kind == "upload" else None
    device = DeviceConfig(kind, "on_demand", "always", baseline=baseline)
    done: list[None] = []
    found = await run_fleet(
        FleetConfig(device, "wifi", devices=3, warmup=1),
        server.addresses[device.transport],
        images(server, labelled_folder, baseline),
        7,
        lambda: done.append(None),
    )
    assert (len(found.samples), found.errors, len(done)) == (7, [], 7)
    for sample in found.samples:
        assert (sample.stage, sample.layers) == ("low", 0 if kind == "upload" else 1)
        assert sample.correct is not None
        assert sample.up > sample.payload > 0 < sample.down
        assert sample.latency_ms >= sample.compute_ms > 0
    assert found.setup_up > 0


@pytest.mark.parametrize("policy", ["on_demand", "at_once", "ahead", "auto"])
async def test_bytes_are_counted_by_layer(server: Server, labelled_folder: Path, policy: Policy) -> None:
    config = FleetConfig(DeviceConfig("session", policy, "never"), "unlimited")
    found = await run_fleet(config, server.addresses["grpc"], images(server, labelled_folder), 2)
    assert found.errors == []
    for sample in found.samples:
        assert (sample.stage, sample.layers) == ("high", 2)
        assert min(sample.by_layer) > 0
        assert sum(sample.by_layer) == sample.payload < sample.up


async def test_failures_are_counted_and_the_rest_goes_on(server: Server, labelled_folder: Path) -> None:
    broken = PreparedImage(b"no image", 0, 0.0)
    good = images(server, labelled_folder, BASELINE)[0]
    config = FleetConfig(DeviceConfig("upload", baseline=BASELINE), "unlimited")
    found = await run_fleet(config, server.addresses["rest"], [broken, good], 2)
    assert (len(found.samples), len(found.errors)) == (1, 1)


class Vanishing:
    """Answers three images, then none."""

    left = 3

    async def send(self, image: PreparedImage) -> Reply:
        self.left -= 1
        if self.left < 0:
            raise Unavailable("nobody answers")
        return Reply(0, "low", 1, 900, [900, 0], 0.1, 10.0)


async def test_a_server_that_has_gone_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    client, done = Vanishing(), list[None]()

    @asynccontextmanager
    async def open_client(*_: object) -> AsyncIterator[Vanishing]:
        yield client

    monkeypatch.setattr(fleet, "open_client", open_client)
    monkeypatch.setattr(fleet, "PAUSE", 0.0)
    config, image = FleetConfig(DeviceConfig(), "unlimited"), PreparedImage(b"", 0, 0.0)
    with pytest.raises(Unavailable, match="nobody answers"):
        await run_fleet(config, "127.0.0.1:1", [image], 1000, lambda: done.append(None))
    assert len(done) == 3 + GONE - 1


async def test_without_a_server_the_error_names_it(server: Server, labelled_folder: Path) -> None:
    config = FleetConfig(DeviceConfig("session", "on_demand"), "unlimited", devices=2)
    with pytest.raises(OvertoneError, match=r"127\.0\.0\.1:1:"):
        await run_fleet(config, "127.0.0.1:1", images(server, labelled_folder), 2)


async def test_an_escalated_image_is_traced(server: Server, labelled_folder: Path) -> None:
    prepared = images(server, labelled_folder)
    found = await trace(prepared, server.addresses, "wifi", operating_point="never")
    assert found is not None
    spent = dict(map(tuple, found["phases"]))
    assert all(value >= 0 for value in spent.values())
    assert spent["compute 1"] > 0 < spent["compute 2"]
    assert len(found["bytes"]) == 2
    assert sum(spent.values()) == pytest.approx(found["total_ms"], rel=0.25)
    assert await trace(prepared, server.addresses, "wifi", operating_point="always") is None
