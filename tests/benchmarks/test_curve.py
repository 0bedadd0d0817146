"""The whole comparison on a few images: chosen on one part, reported on another, and continued."""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from overtone.benchmarks.curve import command as curve
from overtone.benchmarks.curve import overhead, send_again
from overtone.benchmarks.curve.baselines import Setting, send
from overtone.benchmarks.curve.evaluation import Evaluation, Outcome
from overtone.benchmarks.curve.overhead import Framing, Overhead
from overtone.benchmarks.curve.successive_elimination import best_settings
from overtone.frequency import THREE_LAYERS, fit, open_rgb
from overtone.models import Architecture, OperatingPoint, load, read_card, rewrite
from overtone.training import weights
from overtone.training.baseline_network import from_cascade
from overtone.training.body_config import RGBBodyConfig
from overtone.training.compression import Compression, resized
from overtone.training.data import DataError
from overtone.training.network_configs import BaselineConfig
from overtone.training.recipe import Recipe
from overtone.training.systems import SingleSystem
from tests.ladders import with_ladder
from tests.training.tiny_bodies import HIGH

FRAMING = Overhead(Framing(48, 63), Framing(50, 51), Framing(207, 387))
FEW = [Setting("webp", 32, 0), Setting("webp", 48, 70), Setting("jpeg", 32, 5), Setting("avif", 48, 40)]
SIZE = 36


@pytest.fixture(scope="module")
def flowers(tmp_path_factory: pytest.TempPathFactory, photograph: NDArray[np.uint8]) -> Path:
    """Ten classes, so that some answers of a random network are correct."""
    root = tmp_path_factory.mktemp("data") / "flowers"
    for part, count in (("train", 10), ("val", 2)):
        for label in range(10):
            inner = root / part / f"class {label}"
            inner.mkdir(parents=True)
            for i in range(count):
                turned = np.roll(photograph, 11 * label + 5 * i + (part == "val"), axis=1)
                Image.fromarray(np.roll(turned, label % 3, axis=2)).save(inner / f"{i}.png")
    return root


@pytest.fixture
def folder(flowers: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(flowers, tmp_path / "flowers"))


@pytest.fixture
def options(tiny_checkpoint: Path, tmp_path: Path) -> curve.Options:
    cascade, card = load(tiny_checkpoint)
    a = card.architecture
    assert isinstance(a, Architecture)
    recipe = Recipe(
        name="tiny-baseline",
        size=SIZE,
        epochs=(1,),
        network=BaselineConfig(width=a.high_width, stem=2 * a.stem, layers=a.layers),
        compression=Compression(qualities={"webp": (0, 60)}, sides=(32,)),
    )
    path = tmp_path / "baseline.safetensors"
    weights.save(path, SingleSystem(from_cascade(cascade), None), recipe, card.classes, half=False)
    return curve.Options(str(tiny_checkpoint), str(path), workers=0, device="cpu")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curve, "settings", lambda: FEW)
    monkeypatch.setattr(overhead, "measure", lambda checkpoint, paths: FRAMING)


def test_json_tables_and_figures(
    folder: Path, options: curve.Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    curve.run(folder, tmp_path / "out", options, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["data"] == "flowers/val"
    assert (found["n"], found["calibrated_on"]) == (20, 10)
    assert {"ratio", "interval"} < set(found)
    for row in found["ours"] + found["rivals"]:
        assert 0 <= row["top1"] <= 1
        assert 0 < row["bytes"] < row["wire"]
    assert {"quality", "threshold", "exit_share"} < set(found["ours"][0])
    webp = next(row for row in found["rivals"] if row["rival"] == "WebP")
    assert webp["bare"] < webp["bytes"] < webp["wire"] < webp["post"]
    assert all(row["bare"] == row["bytes"] for row in found["ours"])
    assert json.loads((tmp_path / "out" / "bytes.json").read_text()) == found
    for name in ("bytes.png", "bytes-wire.png"):
        with Image.open(tmp_path / "out" / name) as figure:
            assert figure.width > 500
    page = (tmp_path / "out" / "bytes.md").read_text()
    assert "| who | setting |" in page
    assert "| an image in Overtone's session, with its answer | 48 | 63 |" in page


def test_three_layers_and_a_baseline_that_is_a_pretrained_body(
    folder: Path,
    options: curve.Options,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    card = read_card(options.checkpoint)
    points = (OperatingPoint(name="default", thresholds=(0.3, 0.3), all_below=(0.1, 0.0)),)
    changed = {
        "profile": with_ladder(card.profile, THREE_LAYERS),
        "temperatures": (1.0,) * 3,
        "operating_points": points,
    }
    three = tmp_path / "three.safetensors"
    rewrite(options.checkpoint, card.model_copy(update=changed), three)
    recipe = Recipe(
        name="body",
        size=64,
        epochs=(1,),
        network=RGBBodyConfig(body=HIGH, weights=""),
        compression=Compression(qualities={"webp": (0, 60)}, sides=(32,)),
    )
    body = tmp_path / "body.safetensors"
    weights.save(body, recipe.network.build(10), recipe, card.classes)
    # Of random networks no setting is better than another, so no pair would be made.
    monkeypatch.setattr(curve, "BELOW", 1.0)
    monkeypatch.setattr(send_again, "candidates", lambda tried: list(tried)[:2])
    chosen = replace(options, checkpoint=str(three), baseline=str(body), images=5)
    curve.run(folder, tmp_path / "out", chosen, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["n"], found["calibrated_on"], found["rival_size"]) == (5, 5, 64)
    again = [row for row in found["rivals"] if row["rival"] == send_again.AGAIN]
    assert again
    for row in again:
        assert row["first"]["codec"] == row["second"]["codec"] == "webp"
        assert row["bare"] < row["bytes"] < row["wire"] < row["post"]
    for row in found["ours"]:
        assert len(row["thresholds"]) == len(row["all_below"]) == 2
        assert row["threshold"] == row["thresholds"][0]
        assert sum(row["shares"]) == pytest.approx(1)
    assert found["macs"]["ours_low"] <= found["macs"]["ours"]
    assert "from low" in (tmp_path / "out" / "bytes.md").read_text()


def test_it_continues_where_it_was_interrupted(
    folder: Path, options: curve.Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, measured, limit = tmp_path / "out", Evaluation._measured, 3
    done: list[tuple[str, Setting]] = []
    monkeypatch.setattr("overtone.benchmarks.curve.figure.draw_both", lambda *_: None)

    def counted(
        self: Evaluation, settings: Sequence[Setting], begin: int, end: int
    ) -> Iterator[tuple[Setting, Outcome]]:
        for setting, outcome in measured(self, settings, begin, end):
            if len(done) == limit:
                raise KeyboardInterrupt
            done.append((self.name, setting))
            yield setting, outcome

    monkeypatch.setattr(Evaluation, "_measured", counted)
    with pytest.raises(KeyboardInterrupt, match="continues"):
        curve.run(folder, out, options)
    assert len(done) == limit
    limit = 1000
    curve.run(folder, out, options)
    assert len(done) == len(set(done)) > 3
    once, often = (out / "bytes.json").read_text(), len(done)
    curve.run(folder, out, options)
    assert len(done) == often
    assert (out / "bytes.json").read_text() == once
    # The cache depends on the images, not on how many they are.
    renamed = next((folder / "val").rglob("*.png"))
    renamed.rename(renamed.with_name("another.png"))
    curve.run(folder, out, options)
    assert len(done) > often


def test_the_best_settings_are_on_a_frontier_between_floor_and_ceiling() -> None:
    def outcome(size: int, share: float) -> Outcome:
        return Outcome(np.full(100, size), np.arange(100) < share * 100, np.ones(100))

    good, large, larger, poor = FEW
    measured = [outcome(300, 0.8), outcome(400, 0.7), outcome(500, 0.79), outcome(100, 0.3)]
    tried = list(zip(FEW, measured, strict=True))
    assert best_settings(tried, floor=0.6, ceiling=1.0) == [good]
    assert best_settings(tried, floor=0.2, ceiling=1.0) == [poor, good]
    assert best_settings(tried[:1], floor=0.95, ceiling=1.0) == [good]
    climbing = [(setting, outcome(300 * 2**i, 0.5 + 0.1 * i)) for i, setting in enumerate(FEW)]
    assert best_settings(climbing, floor=0.45, ceiling=0.65) == [good, large, larger]


def test_the_network_answers_what_arrives(
    folder: Path, options: curve.Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = curve.open_setup(folder, tmp_path / "out", options)
    webp, cut = Setting("webp", 48, 30), Setting("cut", 48, 50, 300)
    found = setup.evaluation("val", exact=True).run([webp, cut], "test")
    assert set(found[cut].bytes) == {300}
    assert len(found[webp].correct) == 20
    images, network = setup.parts["val"], setup.baseline.system.module
    for i in (0, 7):
        arrived = resized(send(fit(open_rgb(images.paths[i]), 48), webp)[1], SIZE)
        with torch.inference_mode():
            answer = int(network(torch.from_numpy(arrived.copy()).permute(2, 0, 1)[None].float()).argmax())
        assert found[webp].correct[i] == (answer == images.targets[i])
    # Workers encode; on a GPU the main process answers.
    for gpu in (False, True):
        monkeypatch.setattr(Evaluation, "on_gpu", gpu)
        other = curve.open_setup(folder, tmp_path / str(gpu), replace(options, workers=2))
        part = other.evaluation("val", exact=True).run([webp], "test", 3, 7)[webp]
        assert (part.bytes == found[webp].bytes[3:7]).all()
        assert (part.correct == found[webp].correct[3:7]).all()


def test_a_network_of_another_cost_is_reported() -> None:
    for factor, expected in ((0.96, 0), (1.0, 0), (1.07, 0), (1.12, 1)):
        told = " ".join(curve.warnings({"rival": factor * 1e9, "ours": 1e9}))
        assert told.count("of another size") == expected


def test_a_baseline_for_other_classes_is_refused(
    folder: Path, options: curve.Options, tmp_path: Path
) -> None:
    trained = weights.load(Path(options.baseline))
    other = tmp_path / "other.safetensors"
    weights.save(other, trained.system, trained.recipe, tuple("abcdefghij"))
    with pytest.raises(weights.WeightsError, match="other classes"):
        curve.run(folder, tmp_path / "out", curve.Options(options.checkpoint, str(other), device="cpu"))


def test_without_images_to_choose_on_nothing_is_measured(
    folder: Path, options: curve.Options, tmp_path: Path
) -> None:
    for label in (folder / "train").iterdir():
        for image in sorted(label.iterdir())[2:]:
            image.unlink()
    with pytest.raises(DataError, match="train/"):
        curve.run(folder, tmp_path / "out", options)
