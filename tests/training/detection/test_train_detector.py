"""Whole runs, by the commands that people use."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from overtone.cli import app
from overtone.frequency import coefficients, decode, encode, letter_boxed, open_rgb
from overtone.models import CheckpointError
from overtone.models.detection.checkpoint import load_detector, read_detector_card
from overtone.models.detection.detector import Detector, build
from overtone.models.detection.region_network import RegionNetwork
from overtone.training.data import DataError
from overtone.training.detection import detector_file
from overtone.training.detection.detector_file import TrainedDetector
from overtone.training.detection.join import join
from overtone.training.detection.pictures import read_pictures
from overtone.training.detection.predictions import after_layers, coded_batches
from overtone.training.detection.train_detector import TimeLeft, train_detector
from overtone.training.recipe import RecipeError
from tests.training.detection.rectangles import rectangles
from tests.training.detection.tiny_recipe import recipe, twin


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rectangles(tmp_path_factory.mktemp("rectangles") / "data", masks=True)


@pytest.fixture(scope="module")
def low_alone(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a detector with masks of which low is hardly trained, and high not at all."""
    folder = tmp_path_factory.mktemp("low")
    return train_detector(recipe((1, 0), masks=True), data, folder, workers=0, device="cpu")


@pytest.fixture(scope="module")
def trained(low_alone: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that a second run, of high alone, has made of the state of the first one."""
    changes = {"start": str(low_alone.parent / "last.safetensors"), "regions": 1.0}
    chosen = recipe((0, 1), masks=True).model_copy(update=changes)
    return train_detector(chosen, data, tmp_path_factory.mktemp("both"), workers=0, device="cpu")


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
    # So few pictures are held out that nothing may be missed.
    cascade = found["cascade"]
    assert isinstance(cascade, dict)
    assert cascade["operating_point"] == "balanced"
    assert cascade["mean_payload_bytes"] == both["mean_payload_bytes"]
    assert cascade["ap50"] == both["ap50"]
    assert (cascade["escalation_share"], cascade["block_share"], cascade["missed"]) == (1, 1, 0)
    for entry in (low, both, cascade):
        assert all(0 <= entry[name] <= 1 for name in ("ap", "ap50", "ap75", "voc50", "mask_ap", "mask_ap50"))


def test_training_ends_in_a_checkpoint(trained: Path, data: Path) -> None:
    detector, card = load_detector(trained)
    assert detector.architecture == card.architecture
    assert (card.name, card.classes, card.profile.labels) == ("tiny", ("red", "blue"), ("red", "blue"))
    assert card.training is not None
    assert (card.training.data, card.training.images, card.training.epochs) == (data.name, 11, (1, 1))
    point = card.point()
    assert (point.method, point.whole, point.n) == ("risk control", True, 0)


def calibrated(file: Path, data: Path, *options: str) -> dict[str, object]:
    command = ["calibrate", str(file), "--data", str(data), "--json", "--workers", "0", "--device", "cpu"]
    result = CliRunner().invoke(app, [*command, *options])
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads(result.stdout)
    return found


def test_a_point_is_added_and_judged(trained: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "cheap.safetensors"
    options = ("--split", "train", "--share", "1", "--name", "cheap", "--report", "val", "--out", str(out))
    calibrated(trained, data, *options, "--default")
    before, card = read_detector_card(trained), read_detector_card(out)
    assert card.operating_points[1:] == before.operating_points
    assert (card.point().name, card.point().share, card.point().n) == ("cheap", 1.0, 7)
    (line,) = card.accuracy
    assert (line.n, line.operating_point, len(line.ap50), len(line.mask_ap50)) == (3, "cheap", 2, 2)
    assert line.sizes[0] <= line.mean_bytes <= sum(line.sizes)
    cascade = evaluated(out, data)["cascade"]
    assert isinstance(cascade, dict)
    assert cascade["mean_payload_bytes"] == line.mean_bytes
    assert cascade["mask_ap50"] == line.mask_cascade
    again = evaluated(out, data, "--operating-point", "balanced")["cascade"]
    assert isinstance(again, dict)
    assert again["block_share"] == 1


def test_points_for_another_quality_are_added(trained: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "two.safetensors"
    calibrated(trained, data, "--quality", "1", "--out", str(out))
    card = read_detector_card(out)
    assert card.certified() == dict.fromkeys(("careful", "balanced", "thrifty"), (1, 2))
    assert card.point(quality=1).quality == 1
    command = ["calibrate", str(out), "--data", str(data), "--quality", "1", "--layers", "3"]
    assert "would get a new profile" in CliRunner().invoke(app, command).output.replace("\n", " ")


def test_the_standard_points_replace_all_others(trained: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "again.safetensors"
    found = calibrated(trained, data, "--layers", "3", "--out", str(out))
    card = read_detector_card(out)
    assert found["default"] == card.operating_point == "balanced"
    assert {point.name for point in card.operating_points} == {"careful", "balanced", "thrifty"}
    assert len(card.profile.ladder) == 3
    weights = [load_detector(file)[0].state_dict() for file in (trained, out)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_high_is_trained_without_low(low_alone: Path, trained: Path, data: Path) -> None:
    with pytest.raises(CheckpointError, match="no card"):
        load_detector(low_alone)
    refused = CliRunner().invoke(app, ["calibrate", str(low_alone), "--data", str(data)])
    assert "high is not trained yet: train again with --epochs 0,N" in refused.output.replace("\n", " ")
    detector, card = load_detector(trained)
    assert str(low_alone.parent) not in card.to_json()
    low = detector_file.load(low_alone).detector.networks[0].state_dict()
    for name, value in detector.low_network.state_dict().items():
        torch.testing.assert_close(value, low[name], atol=1e-3, rtol=1e-3)


def test_networks_of_two_runs_are_joined(low_alone: Path, trained: Path, data: Path, tmp_path: Path) -> None:
    out, high = tmp_path / "joined.safetensors", trained.parent / "last.safetensors"
    files = [str(low_alone), str(high), "--data", str(data), "--out", str(out)]
    result = CliRunner().invoke(app, ["train", "join", *files, "--workers", "0"])
    assert result.exit_code == 0, result.output
    joined, card = load_detector(out)
    expected, other = load_detector(trained)
    assert card == other
    for name, value in joined.state_dict().items():
        torch.testing.assert_close(value, expected.state_dict()[name], atol=1e-3, rtol=1e-3)


def test_each_network_is_that_of_the_longest_training(trained: Path, data: Path, tmp_path: Path) -> None:
    whole = replace(detector_file.load(trained), card=None)
    assert whole.recipe is not None
    files = {epochs: tmp_path / f"{epochs[0]}.safetensors" for epochs in ((3, 1), (1, 2))}
    for epochs, file in files.items():
        recipe = whole.recipe.model_copy(update={"epochs": epochs, "start": "bodies"})
        detector = build(recipe.network.architecture(len(whole.classes)))
        detector_file.save(file, replace(whole, detector=detector, recipe=recipe))
    out = tmp_path / "joined.safetensors"
    join(list(map(str, files.values())), data, out)
    low, high = (detector_file.load(file).detector.state_dict() for file in files.values())
    joined, card = load_detector(out)
    assert card.training is not None
    assert card.training.epochs == (3, 2)
    for name, value in joined.state_dict().items():
        expected = (low if name.startswith("low_network.") else high)[name]
        torch.testing.assert_close(value, expected, atol=1e-3, rtol=1e-3)


def test_networks_that_no_run_has_trained_cannot_be_joined(
    low_alone: Path, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="network 2 is trained in none"):
        join([str(low_alone)], data, tmp_path / "out.safetensors")


def test_a_file_without_a_card_becomes_a_checkpoint(trained: Path, data: Path, tmp_path: Path) -> None:
    file = tmp_path / "old.safetensors"
    whole = detector_file.load(trained)
    detector_file.save(file, whole)
    calibrated(file, data)
    detector, card = load_detector(file)
    assert card == read_detector_card(trained)
    for name, value in whole.detector.state_dict().items():
        torch.testing.assert_close(detector.state_dict()[name], value)


def test_a_detector_on_pixels_has_no_operating_points(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "twin.safetensors"
    made = build(twin().network.architecture(2))
    detector_file.save(file, TrainedDetector(made, twin(), ("red", "blue"), None))
    result = CliRunner().invoke(app, ["calibrate", str(file), "--data", str(data)])
    assert "reads pixels" in result.output
    result = CliRunner().invoke(app, ["evaluate", str(file), "--data", str(data), "--operating-point", "x"])
    assert "has no operating points" in result.output


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
    batches = list(coded_batches(file.detector, pictures, file.profile, file.profile.quality))
    low, both = after_layers(batches, pictures, file.profile.size)
    assert [len(p) for p in payloads] == [int(layer.sizes[0]) for layer in (low, both)]
    decoded = decode(payloads, file.profile)
    x = torch.from_numpy(decoded.values * decoded.steps[:, None, None]).float()[None]
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        (expected,) = file.detector.high(x, torch.tensor([[48 / 64, 1.0]]))
    torch.testing.assert_close(both.found[0].scores, expected.scores)
    torch.testing.assert_close(both.found[0].boxes, expected.boxes / torch.tensor([0.75, 1, 0.75, 1]))


def test_high_also_reads_what_is_not_quantised(
    trained: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, forward = list[torch.Tensor](), RegionNetwork.forward

    def watched(network: RegionNetwork, x: torch.Tensor, *more: Any) -> Any:
        seen.append(x)
        return forward(network, x, *more)

    monkeypatch.setattr(RegionNetwork, "forward", watched)
    found = evaluated(trained, data, "--unquantised")["unquantised"]
    assert isinstance(found, dict)
    assert found["mean_payload_bytes"] is None
    profile = read_detector_card(trained).profile
    squares = [letter_boxed(open_rgb(path), 64) for path in read_pictures(data, "val").paths]
    exact = np.stack([coefficients(square, profile.low + profile.high) for square in squares])
    np.testing.assert_allclose(seen[-1].numpy(), exact, atol=1e-2)


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
    assert "classes red, green, not those of tiny" in result.output.replace("\n", " ")


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
