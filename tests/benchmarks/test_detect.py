"""AP50 against bytes on a few pictures, with detectors that are hardly trained."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from overtone.benchmarks.curve.baselines import Setting
from overtone.benchmarks.detect import command as bench
from overtone.benchmarks.detect import ours
from overtone.benchmarks.detect.rivals import Pair, Rival
from overtone.cli import app
from overtone.models.detection.detector import PixelDetector, build
from overtone.models.detection.operating_point import DetectionPoint
from overtone.training.detection import detector_file
from overtone.training.detection.detector_file import Trained
from overtone.training.detection.pictures import read_pictures
from overtone.training.weights import WeightsError
from tests.models.detection.tiny_detector import CLASSES, SURE, UNSURE
from tests.training.detection.rectangles import rectangles
from tests.training.detection.tiny_recipe import twin

FINE, COARSE = Setting("webp", 64, 60), Setting("jpeg", 32, 5)


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
    detector_file.save(path, Trained(network, twin(), CLASSES, None))
    return path


@pytest.fixture(scope="module")
def rival(network: PixelDetector, data: Path) -> Rival:
    return Rival(network, 64, read_pictures(data, "val"))


def test_whole_pictures_cost_what_their_files_do(rival: Rival) -> None:
    fine, coarse = rival.once(FINE), rival.once(COARSE)
    assert (fine.sent > 0).all()
    assert len(fine.found) == len(coarse.found) == 3
    for found, things in zip(fine.found, rival.pictures.things, strict=True):
        assert (found.boxes[:, 2] <= things.width / 64).all()
    assert 0 <= rival.ap50(fine) <= 1


def test_regions_sent_again_cost_their_file_besides(rival: Rival) -> None:
    first = rival.once(COARSE)
    nothing = Pair(COARSE, FINE, DetectionPoint(name="x", unsure=2.0))
    assert (rival.again(nothing, first).sent == first.sent).all()
    some = rival.again(
        Pair(COARSE, FINE, DetectionPoint(name="x", unsure=UNSURE, sure=SURE, margin=0)), first
    )
    everything = rival.again(Pair(COARSE, FINE, DetectionPoint(name="x", unsure=0, margin=9)), first)
    assert (first.sent < everything.sent).all()
    assert (some.sent <= everything.sent).all()
    # All of the picture sent again is the picture sent in fine quality alone, besides the bytes.
    alone = rival.once(FINE)
    assert (everything.sent == first.sent + alone.sent).all()
    for mine, other in zip(everything.found, alone.found, strict=True):
        np.testing.assert_allclose(mine.scores.numpy(), other.scores.numpy(), atol=1e-5)


def test_the_whole_comparison(
    tiny_detector: Path, baseline: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "settings", lambda size: [FINE, COARSE, Setting("avif", size, 40)])
    monkeypatch.setattr(ours, "DOUBTS", ((UNSURE, SURE),))
    command = ["bench", "bytes", "--task", "detect", "--data", str(data), "--checkpoint", str(tiny_detector)]
    command += ["--baseline", str(baseline), "--out", str(tmp_path / "out"), "--json", "--workers", "0"]
    first, again = (CliRunner().invoke(app, command) for _ in range(2))
    assert first.exit_code == 0, first.output
    assert again.stdout == first.stdout
    found = json.loads(first.stdout)
    assert found["task"] == "detect"
    assert (found["n"], found["calibrated_on"]) == (3, 2)
    assert found["ours"]
    assert {row["rival"] for row in found["rivals"]} <= {"JPEG", "WebP", "AVIF", "regions sent again"}
    for row in found["ours"] + found["rivals"]:
        assert row["bytes"] > 0
        assert 0 <= row["ap50"] <= 1


def test_a_baseline_reads_pictures(tiny_detector: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="a baseline reads pictures"):
        bench.run(data, tmp_path, bench.Options(str(tiny_detector), str(tiny_detector)))
