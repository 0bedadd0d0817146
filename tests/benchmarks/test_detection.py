"""The benchmarks with a detector behind the server."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from PIL import Image

from overtone.benchmarks.demo import command as demo
from overtone.benchmarks.demo.command import Options
from overtone.benchmarks.load.baseline import Baseline
from overtone.benchmarks.load.clients import DeviceConfig, Kind
from overtone.benchmarks.load.fleet import FleetConfig, run_fleet
from overtone.benchmarks.load.prepared import PreparedImage, prepare
from overtone.benchmarks.server import Server, inspect
from overtone.gpu_server.serve import running
from tests.edge_client.fakes import in_thread
from tests.serving import quick_settings

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("benchmarks")]


@pytest.fixture(scope="module")
def server(tiny_detector: Path) -> Iterator[Server]:
    with in_thread(running(quick_settings(tiny_detector, batch_sizes=(1,)))) as found:
        addresses = {"grpc": f"{found.host}:{found.grpc_port}", "rest": f"{found.host}:{found.http_port}"}
        yield asyncio.run(inspect(addresses))


@pytest.fixture
def started(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo takes the server that runs, rather than to start one."""

    @asynccontextmanager
    async def serving(_: str) -> AsyncIterator[Server]:
        yield server

    monkeypatch.setattr(demo, "serving", serving)


def images(server: Server, folder: Path, baseline: Baseline | None = None) -> list[PreparedImage]:
    paths = sorted((folder / "val").rglob("*.png"))
    return prepare(server.profile, server.labels, paths, baseline=baseline, task=server.task)


@pytest.mark.parametrize(
    ("kind", "point", "layers"),
    [
        ("session", "default", {1, 2}),
        ("one-shot", "never", {2}),
        ("rest", "never", {2}),
    ],
)
async def test_pictures_are_sent_over_lte_m(
    server: Server, labelled_folder: Path, kind: Kind, point: str, layers: set[int]
) -> None:
    device = DeviceConfig(kind, "auto", point, task=server.task)
    config = FleetConfig(device, "lte-m", devices=2)
    found = await run_fleet(config, server.addresses[device.transport], images(server, labelled_folder), 4)
    assert (len(found.samples), found.errors) == (4, [])
    for sample in found.samples:
        assert sample.layers in layers
        assert sample.correct is None
        assert sum(sample.by_layer) == sample.payload < sample.up
        assert (sample.by_layer[1] > 0) == (sample.layers == 2)


async def test_baselines_upload_whole_pictures(server: Server, labelled_folder: Path) -> None:
    baseline = Baseline("jpeg", 64, 75)
    device = DeviceConfig("upload", operating_point="never", baseline=baseline, task=server.task)
    prepared = images(server, labelled_folder, baseline)
    found = await run_fleet(FleetConfig(device, "lte-m"), server.addresses["rest"], prepared, 2)
    assert [sample.stage for sample in found.samples] == ["high"] * 2
    assert found.errors == []


@pytest.mark.usefixtures("started")
def test_the_demo_draws_what_is_found(
    tiny_detector: Path,
    labelled_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = Options(task="detect", model=str(tiny_detector), out=tmp_path / "drawn", rtt="4ms")
    assert demo.run(labelled_folder, count=2, as_json=True, options=options) == 0
    found = json.loads(capsys.readouterr().out)
    summary, rows = found["summary"], found["images"]
    assert (summary["task"], summary["n"], summary["drawn"]) == ("detect", 2, str(tmp_path / "drawn"))
    assert summary["things"] == sum(len(row["detections"]) for row in rows) / 2
    assert summary["payload_to_jpeg"] == pytest.approx(
        sum(row["payload_bytes"] for row in rows) / sum(row["jpeg_bytes"] for row in rows)
    )
    for row in rows:
        assert row["link_bytes_up"] > row["payload_bytes"] > 0
        with Image.open(row["drawn"]) as drawn:
            assert max(drawn.size) >= 640


@pytest.mark.usefixtures("started")
def test_the_demo_says_which_task_the_model_has(tiny_detector: Path, labelled_folder: Path) -> None:
    with pytest.raises(ValueError, match="give --task detect"):
        demo.run(labelled_folder, count=1, as_json=True, options=Options(model=str(tiny_detector)))
