"""The whole comparison on a few pictures: chosen on one part, reported on another, and gone on with."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks import bytes as room
from benchmarks import bytes_report, contest, overhead
from benchmarks.curve import Point
from benchmarks.overhead import Framing, Overhead
from benchmarks.rivals import Way
from models import load
from models.patch import from_cascade
from training import weights
from training.compression import Compression
from training.data import DataError
from training.kinds import Patch
from training.recipe import Recipe
from training.systems import Single

FRAMING = Overhead(Framing(48, 63), Framing(50, 51), Framing(207, 387))
FEW = [Way("webp", 32, 0), Way("webp", 48, 70), Way("jpeg", 32, 5), Way("avif", 48, 40)]
SIZE = 36


@pytest.fixture
def folder(tmp_path: Path, photograph: NDArray[np.uint8]) -> Path:
    """Ten classes, so that some answers of a random network are right."""
    for part, count in (("train", 10), ("val", 2)):
        for label in range(10):
            inner = tmp_path / "flowers" / part / f"class {label}"
            inner.mkdir(parents=True)
            for i in range(count):
                turned = np.roll(photograph, 11 * label + 5 * i + (part == "val"), axis=1)
                Image.fromarray(np.roll(turned, label % 3, axis=2)).save(inner / f"{i}.png")
    return tmp_path / "flowers"


@pytest.fixture
def options(tiny_checkpoint: Path, tmp_path: Path) -> room.Options:
    cascade, card = load(tiny_checkpoint)
    a = card.architecture
    network = Patch(kind="patch", width=a.high_width, stem=2 * a.stem, layers=a.layers)
    recipe = Recipe(
        name="tiny-rival",
        size=SIZE,
        epochs=(1,),
        network=network,
        compression=Compression(qualities={"webp": (0, 60)}, sides=(32,)),
    )
    path = tmp_path / "rival.safetensors"
    weights.save(path, Single(from_cascade(cascade), None), recipe, card.classes)
    return room.Options(str(tiny_checkpoint), str(path), workers=0, device="cpu")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "ways", lambda: FEW)
    monkeypatch.setattr(overhead, "measure", lambda checkpoint, paths: FRAMING)


def test_reports_what_was_asked_for(
    folder: Path, options: room.Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    room.run(folder, tmp_path / "out", options, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["data"] == "flowers/val"
    assert (found["n"], found["calibrated_on"]) == (20, 10)
    for row in found["ours"] + found["rivals"]:
        assert 0 <= row["top1"] <= 1
        assert 0 < row["bytes"] < row["wire"]
    assert {"quality", "threshold", "exit_share"} < set(found["ours"][0])
    webp = next(row for row in found["rivals"] if row["rival"] == "WebP")
    assert webp["wire"] < webp["post"]
    assert webp["bare"] < webp["bytes"]
    assert "ratio" in found
    assert json.loads((tmp_path / "out" / "bytes.json").read_text()) == found
    with Image.open(tmp_path / "out" / "bytes.png") as figure:
        assert figure.width > 500
    assert "| who | setting |" in (tmp_path / "out" / "bytes.md").read_text()


def test_goes_on_where_it_was_interrupted(
    folder: Path, options: room.Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, measured = tmp_path / "out", contest.Contest._measure
    asked: list[tuple[str, Way]] = []

    def interrupted(self: contest.Contest, way: Way) -> contest.Outcome:
        if len(asked) == 3:
            raise KeyboardInterrupt
        asked.append((self.name, way))
        return measured(self, way)

    monkeypatch.setattr(contest.Contest, "_measure", interrupted)
    with pytest.raises(KeyboardInterrupt, match="goes on"):
        room.run(folder, out, options)
    first = list(asked)

    def counted(self: contest.Contest, way: Way) -> contest.Outcome:
        asked.append((self.name, way))
        return measured(self, way)

    monkeypatch.setattr(contest.Contest, "_measure", counted)
    room.run(folder, out, options)
    assert len(asked) == len(set(asked)) > len(first)
    once = (out / "bytes.json").read_text()
    room.run(folder, out, options)
    assert len(asked) == len(set(asked))
    assert (out / "bytes.json").read_text() == once


def test_settings_are_chosen_on_calibration_pictures_alone() -> None:
    """A way that is best by neither count is not reported."""
    good, dear, bare = FEW[:3]
    tried = [
        (Point(300, 0.8, {"way": good}), Point(290, 0.8, {"way": good})),
        (Point(400, 0.7, {"way": dear}), Point(390, 0.7, {"way": dear})),
        (Point(500, 0.79, {"way": bare}), Point(200, 0.79, {"way": bare})),
    ]
    assert room._chosen(tried) == [good, bare]


def test_network_answers_what_the_codec_leaves_of_a_picture(
    folder: Path, options: room.Options, tmp_path: Path
) -> None:
    sides = room._open(folder, tmp_path / "out", options)
    way = Way("webp", 48, 30)
    found = room._contest(sides, "val").outcome(way)
    fitted = room._contest(sides, "val").fitted.at(48)
    assert fitted.shape == (20, 48, 48, 3)
    network = sides.rival.system.module
    for i in (0, 7):
        one = contest.SentSet(fitted, way, SIZE)[i]
        with torch.inference_mode():
            right = int(network(one[0][None].float()).argmax()) == sides.val.targets[i]
        assert (found.bytes[i], found.bare[i]) == one[1:]
        assert found.right[i] == right


def test_a_rival_for_other_classes_is_refused(folder: Path, options: room.Options, tmp_path: Path) -> None:
    trained = weights.load(Path(options.rival))
    other = tmp_path / "other.safetensors"
    weights.save(other, trained.system, trained.recipe, tuple("abcdefghij"))
    asked = room.Options(options.checkpoint, str(other), workers=0, device="cpu")
    with pytest.raises(weights.WeightsError, match="other classes"):
        room.run(folder, tmp_path / "out", asked)


def test_without_pictures_to_choose_on_nothing_is_done(
    folder: Path, options: room.Options, tmp_path: Path
) -> None:
    for label in (folder / "train").iterdir():
        for picture in sorted(label.iterdir())[2:]:
            picture.unlink()
    with pytest.raises(DataError, match="train/"):
        room.run(folder, tmp_path / "out", options)


def test_page_is_made_again_from_the_log(folder: Path, options: room.Options, tmp_path: Path) -> None:
    room.run(folder, tmp_path / "out", options)
    docs = tmp_path / "docs"
    (docs / "runs").mkdir(parents=True)
    (docs / "images").mkdir()
    with pytest.raises(bytes_report.ReportError, match="no such file"):
        bytes_report.render_logged(docs)
    (docs / "runs" / bytes_report.LOGGED).write_text((tmp_path / "out" / "bytes.json").read_text())
    (docs / "bytes.template.md").write_text("# Bytes\n\n$results\n\nAn image: $image_up bytes.\n")
    page, figure = bytes_report.render_logged(docs)
    assert "An image: 48 bytes." in page.read_text()
    assert "| ours over |" in page.read_text()
    assert figure.is_file()
