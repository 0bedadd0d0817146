"""Whole runs, by the commands that people use."""

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from overtone.cli import app
from overtone.frequency import decode, encode, letter_boxed, open_rgb
from overtone.models import CheckpointError
from overtone.models.detection.detector import Detector
from overtone.training.data import DataError
from overtone.training.detection import detector_file
from overtone.training.detection.pictures import read_pictures
from overtone.training.detection.predictions import predict
from overtone.training.detection.train_detector import TimeLeft, train_detector
from overtone.training.recipe import RecipeError
from tests.training.detection.rectangles import rectangles
from tests.training.detection.tiny_recipe import recipe, twin


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rectangles(tmp_path_factory.mktemp("rectangles") / "data", masks=True)


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a detector with masks, hardly trained."""
    return train_detector(recipe(masks=True), data, tmp_path_factory.mktemp("run"), workers=0, device="cpu")


def evaluated(file: Path, data: Path, *options: str) -> dict[str, object]:
    result = CliRunner().invoke(
        app, ["evaluate", str(file), "--data", str(data), "--json", "--workers", "0", *options]
    )
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads(result.stdout)
    return found


def test_evaluate_prints_what_others_build_on(trained: Path, data: Path) -> None:
    found = evaluated(trained, data)
    assert {"checkpoint": "tiny", "n": 3, "size": 64, "quality": 2}.items() <= found.items()
    low, both = found["low"], found["both"]
    assert isinstance(low, dict)
    assert isinstance(both, dict)
    assert 0 < low["mean_payload_bytes"] < both["mean_payload_bytes"]
    for entry in (low, both):
        assert all(0 <= entry[name] <= 1 for name in ("ap", "ap50", "ap75", "voc50", "mask_ap", "mask_ap50"))


def test_every_quality(trained: Path, data: Path) -> None:
    found = evaluated(trained, data, "--every-quality", "--split", "calibration")
    assert found["n"] == 1
    qualities = found["qualities"]
    assert isinstance(qualities, list)
    sizes = [entry["both"]["mean_payload_bytes"] for entry in qualities]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 3


def test_a_detector_is_asked_what_a_server_would_ask_it(trained: Path, data: Path) -> None:
    """Evaluation sees the coefficients that a decoder restores of the payloads that a device sends."""
    file, pictures = detector_file.load(trained), read_pictures(data, "val").take([0])
    assert file.profile is not None
    assert isinstance(file.detector, Detector)
    payloads = encode(letter_boxed(open_rgb(pictures.paths[0]), 64), file.profile).layers
    low, both = predict(file.detector, pictures, file.profile, file.profile.quality)
    assert [len(p) for p in payloads] == [int(layer.sizes[0]) for layer in (low, both)]
    decoded = decode(payloads, file.profile)
    x = torch.from_numpy(decoded.values * decoded.steps[:, None, None]).float()[None]
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        (expected,) = file.detector.high(x, torch.tensor([[48 / 64, 1.0]]))
    torch.testing.assert_close(both.found[0].scores, expected.scores)
    torch.testing.assert_close(both.found[0].boxes, expected.boxes / torch.tensor([0.75, 1, 0.75, 1]))


def test_the_twin_is_measured_without_bytes(data: Path, tmp_path: Path) -> None:
    file = train_detector(twin(), data, tmp_path / "run", workers=0, device="cpu")
    found = evaluated(file, data)
    assert "low" not in found
    assert isinstance(found["both"], dict)
    assert found["both"]["mean_payload_bytes"] is None
    result = CliRunner().invoke(app, ["evaluate", str(file), "--data", str(data), "--workers", "0"])
    assert result.exit_code == 0
    assert "AP50" in result.output


def test_a_recipe_of_a_detector_is_trained_by_train(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    body = '{ kind = "body", body = { name = "mobilenetv3_small_050", pixels = 4 } }'
    path.write_text(
        f'task = "detect"\nsize = 64\nepochs = [1, 0]\n[optimiser]\nkind = "adamw"\nlr = 1e-3\nbatch = 4\n'
        f'[quality]\nsteps = [32]\n[network]\nkind = "detector"\nlow = {body}\nhigh = {body}\n'
        "head = { width = 8, hidden = 8, proposals = 10, candidates = 20 }\n"
    )
    command = ["train", str(path), "--data", str(data), "--out", str(tmp_path / "run"), "--workers", "0"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert detector_file.is_detector(tmp_path / "run" / "mine.safetensors")
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 1
    assert "--resume" in again.output


def test_masks_need_data_with_masks(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="tiny has masks, but"):
        train_detector(recipe(masks=True), rectangles(tmp_path / "data"), tmp_path / "run", device="cpu")


def test_other_classes_are_refused(trained: Path, data: Path, tmp_path: Path) -> None:
    root = rectangles(tmp_path / "data", val=1)
    path = root / "val.json"
    path.write_text(path.read_text().replace('"blue"', '"green"'))
    result = CliRunner().invoke(app, ["evaluate", str(trained), "--data", str(root)])
    assert result.exit_code == 1
    assert "classes red, green, not those of tiny.safetensors" in result.output.replace("\n", " ")


def test_a_detector_has_no_thresholds_yet(trained: Path, data: Path) -> None:
    result = CliRunner().invoke(app, ["evaluate", str(trained), "--data", str(data), "--threshold", "0.5"])
    assert result.exit_code == 1
    assert "--every-quality" in result.output


def test_files_that_are_no_detectors(tmp_path: Path, tiny_checkpoint: Path) -> None:
    assert not detector_file.is_detector(tiny_checkpoint)
    assert not detector_file.is_detector(tmp_path)
    with pytest.raises(CheckpointError, match="not a detector"):
        detector_file.load(tiny_checkpoint)


def test_missing_annotations_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train\.json: no such file"):
        train_detector(recipe(), tmp_path, tmp_path / "run", device="cpu")


def test_the_time_left_is_that_of_the_epochs_left(capsys: pytest.CaptureFixture[str]) -> None:
    from overtone.training.detection.log import DetectionEpoch

    left = TimeLeft(recipe((5, 3)).model_copy(update={"progressive": ()}))
    left.report(DetectionEpoch(0, 1, 64, 1e-3, {}, None, 1.0, 600.0))
    assert "about 30 min left for this one, then 1 more network" in capsys.readouterr().out
