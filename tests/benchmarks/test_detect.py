"""AP50 against bytes on a few pictures, with detectors that are hardly trained."""

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from overtone.benchmarks.curve import overhead
from overtone.benchmarks.curve.baselines import Setting
from overtone.benchmarks.curve.overhead import Framing, Overhead
from overtone.benchmarks.detect import choosing, ours
from overtone.benchmarks.detect import command as bench
from overtone.benchmarks.detect import entry as entries
from overtone.benchmarks.detect.ours import CascadeEvaluation, CascadeWay
from overtone.benchmarks.detect.rivals import AGAIN, Pair, RivalEvaluation
from overtone.benchmarks.detect.setup import Options
from overtone.benchmarks.server import inspect
from overtone.cli import app
from overtone.gpu_server.serve import running
from overtone.models.detection.checkpoint import load_detector
from overtone.models.detection.detections import Detections
from overtone.models.detection.detector import PixelDetector, build
from overtone.models.detection.operating_point import DetectionPoint
from overtone.models.detection.region_network import RegionNetwork
from overtone.training.detection import detector_file
from overtone.training.detection.detector_file import TrainedDetector
from overtone.training.detection.pictures import read_pictures
from overtone.training.detection.predictions import coded_batches
from overtone.training.detection.region_answers import RegionCascade
from overtone.training.weights import WeightsError
from tests.edge_client.fakes import in_thread
from tests.models.detection.tiny_detector import CLASSES, SURE, UNSURE
from tests.serving import quick_settings
from tests.training.detection.rectangles import rectangles
from tests.training.detection.tiny_recipe import twin

FRAMING = Overhead(Framing(48, 63), Framing(50, 51), Framing(207, 387))
FINE, COARSE = Setting("webp", 64, 60), Setting("jpeg", 32, 5)
POINT = DetectionPoint(name="x", unsure=UNSURE, sure=SURE, margin=0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rectangles(tmp_path_factory.mktemp("rectangles") / "data", train=20)


@pytest.fixture(scope="module")
def network() -> PixelDetector:
    torch.manual_seed(1)
    made = build(twin().network.architecture(2)).eval()
    assert isinstance(made, PixelDetector)
    return made


@pytest.fixture(scope="module")
def baseline(network: PixelDetector, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("twin") / "twin.safetensors"
    detector_file.save(path, TrainedDetector(network, twin(), CLASSES, None))
    return path


@pytest.fixture
def rival(network: PixelDetector, data: Path, tmp_path: Path) -> RivalEvaluation:
    return RivalEvaluation(network, 64, read_pictures(data, "val"), tmp_path, "twin")


def same(found: list[Detections], others: list[Detections]) -> None:
    for mine, other in zip(found, others, strict=True):
        np.testing.assert_allclose(mine.scores.numpy(), other.scores.numpy(), atol=1e-5)


def test_pictures_cost_what_their_files_do_and_regions_cost_theirs_besides(rival: RivalEvaluation) -> None:
    nothing = Pair(COARSE, FINE, DetectionPoint(name="x", unsure=2.0))
    everything = Pair(COARSE, FINE, DetectionPoint(name="x", unsure=0, margin=9))
    some = Pair(COARSE, FINE, POINT)
    found = rival.run([COARSE, FINE, nothing, some, everything], "test")
    coarse, fine = found[COARSE], found[FINE]
    assert (coarse.sent.bare > 0).all()
    assert (coarse.sent.bare < coarse.bytes).all()
    assert (coarse.bytes < fine.bytes).all()
    for detections, things in zip(fine.found.detections(), rival.images.things, strict=True):
        assert (detections.boxes[:, 2] <= things.width / 64).all()
    assert (found[nothing].bytes == coarse.bytes).all()
    assert not found[nothing].sent.mask.any()
    # All of the picture sent again is the picture sent in fine quality alone, besides the bytes.
    assert (found[everything].bytes == coarse.bytes + fine.bytes).all()
    assert (found[everything].sent.mask > 0).all()
    assert (found[some].sent.more <= found[everything].sent.more).all()
    same(found[everything].found.detections(), fine.found.detections())


def test_what_was_measured_is_not_measured_again(
    tiny_detector: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector, card = load_detector(tiny_detector)
    pictures = read_pictures(data, "val")
    evaluation = CascadeEvaluation(detector, card.profile, pictures, tmp_path, "tiny")
    all_ways = [
        CascadeWay("first layer", 2),
        CascadeWay("regions", 2, POINT),
        CascadeWay("all layers", 2),
    ]
    first = evaluation.run(all_ways, "test")
    (batch,) = coded_batches(detector, pictures, card.profile, 2)
    answers = [a for (a,) in RegionCascade(detector, card.profile, 2).answers(batch, [POINT])]
    low, regions, whole = first.values()
    assert low.bytes.tolist() == batch.sizes[:, 0].tolist()
    assert whole.bytes.tolist() == batch.sizes.sum(1).tolist()
    assert regions.bytes.tolist() == [answer.sent for answer in answers]
    assert regions.sent.blocks.tolist() == [answer.share for answer in answers]
    assert ((regions.sent.mask > 0) == (regions.sent.more > 0)).all()
    same(regions.found.detections(), [answer.found for answer in answers])

    def refuse(*_: object) -> None:
        raise AssertionError("a network was run")

    monkeypatch.setattr(RegionNetwork, "forward", refuse)
    again = CascadeEvaluation(detector, card.profile, pictures, tmp_path, "tiny").run(all_ways, "test")
    for way, outcome in first.items():
        assert again[way].bytes.tolist() == outcome.bytes.tolist()
        assert again[way].accuracy == outcome.accuracy
        same(again[way].found.detections(), outcome.found.detections())
    with pytest.raises(AssertionError, match="was run"):
        CascadeEvaluation(detector, card.profile, pictures, tmp_path, "another").run(all_ways, "test")


def test_a_block_mask_costs_bytes_on_the_wire(rival: RivalEvaluation) -> None:
    pair = Pair(COARSE, FINE, DetectionPoint(name="x", unsure=0, margin=9))
    outcome = rival.run([pair], "test")[pair]
    found = entries.entry({}, outcome, FRAMING, ours=False)
    sent = outcome.sent
    first, second = FRAMING.image.wire(sent.first), FRAMING.high.wire(sent.more)
    assert found.counts["wire"] == pytest.approx(first + second + sent.mask + 2)
    posts = FRAMING.post.wire(sent.first) + FRAMING.post.wire(sent.more)
    assert found.counts["post"] == pytest.approx(posts + sent.mask + 2)
    assert entries.entry({}, outcome, FRAMING, ours=True).counts["post"] == pytest.approx(
        found.counts["wire"]
    )


def test_each_layer_of_a_message_costs_bytes_on_the_wire(rival: RivalEvaluation) -> None:
    outcome = rival.run([COARSE], "test")[COARSE]
    one, three = (entries.entry({}, outcome, FRAMING, ours=True, layers=n).counts["wire"] for n in (1, 3))
    assert (three - one == 2 * entries.FIELD).all()


def test_the_framing_of_a_detector_is_measured_over_sockets(
    tiny_detector: Path, data: Path, tmp_path: Path
) -> None:
    forced = tmp_path / "forced.safetensors"
    entries.force(tiny_detector, forced)
    with in_thread(running(quick_settings(forced, batch_sizes=(1,), deadline=60))) as server:
        addresses = {"grpc": f"{server.host}:{server.grpc_port}", "rest": f"{server.host}:{server.http_port}"}
        known = asyncio.run(inspect(addresses))
        found = asyncio.run(overhead.over_links(known, sorted((data / "val").iterdir())[:2]))
    assert 14 < found.image.up < 80
    assert 14 < found.high.up < 80
    assert found.post.up > found.image.up
    # Things as JSON, with the names of their fields.
    assert found.post.down > found.image.down + found.high.down


def test_the_whole_comparison(
    tiny_detector: Path, baseline: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choosing, "settings", lambda size, fast: [FINE, COARSE, Setting("avif", size, 40)])
    monkeypatch.setattr(choosing, "LARGEST", 1e3)
    monkeypatch.setattr(ours, "FAST_DOUBTS", ((UNSURE, SURE),))
    monkeypatch.setattr(entries, "measure_overhead", lambda checkpoint, paths: FRAMING)
    command = ["bench", "bytes", "--task", "detect", "--data", str(data), "--checkpoint", str(tiny_detector)]
    command += [
        "--baseline",
        str(baseline),
        "--out",
        str(tmp_path / "out"),
        "--json",
        "--workers",
        "0",
        "--fast",
    ]
    first, again = (CliRunner().invoke(app, command) for _ in range(2))
    assert first.exit_code == 0, first.output
    assert again.stdout == first.stdout
    found = json.loads(first.stdout)
    assert found == json.loads((tmp_path / "out" / "detect.json").read_text())
    assert (found["task"], found["n"], found["calibrated_on"], found["fast"]) == ("detect", 3, 2, True)
    assert {row["kind"] for row in found["ours"]} == {"first layer", "regions", "all layers"}
    assert any(row["compared"] for row in found["ours"])
    assert {row["rival"] for row in found["rivals"]} <= {"JPEG", "WebP", "AVIF", AGAIN}
    for row in found["ours"] + found["rivals"]:
        assert 0 < row["bytes"] < row["wire"] <= row["post"]
        assert 0 <= row["ap50"] <= 1
    for name in ("detect.png", "detect-wire.png"):
        with Image.open(tmp_path / "out" / name) as figure:
            assert figure.width > 500
    assert "| who | setting | AP50 |" in (tmp_path / "out" / "detect.md").read_text()


def test_a_baseline_reads_pictures(tiny_detector: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="a baseline reads pictures"):
        bench.run(data, tmp_path, Options(str(tiny_detector), str(tiny_detector)))
