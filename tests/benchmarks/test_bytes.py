"""The whole comparison on a few pictures: chosen on one part, reported on another, and gone on with."""

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from overtone.benchmarks.curve import command as room
from overtone.benchmarks.curve import overhead
from overtone.benchmarks.curve.contest import Contest, Job, Outcome
from overtone.benchmarks.curve.overhead import Framing, Overhead
from overtone.benchmarks.curve.rivals import Way
from overtone.models import load
from overtone.training import weights
from overtone.training.baseline_network import from_cascade
from overtone.training.compression import Compression
from overtone.training.data import DataError
from overtone.training.network_configs import BaselineConfig
from overtone.training.recipe import Recipe
from overtone.training.systems import SingleSystem

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
    network = BaselineConfig(width=a.high_width, stem=2 * a.stem, layers=a.layers)
    recipe = Recipe(
        name="tiny-rival",
        size=SIZE,
        epochs=(1,),
        network=network,
        compression=Compression(qualities={"webp": (0, 60)}, sides=(32,)),
    )
    path = tmp_path / "rival.safetensors"
    weights.save(path, SingleSystem(from_cascade(cascade), None), recipe, card.classes, half=False)
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
    assert "interval" in found
    assert json.loads((tmp_path / "out" / "bytes.json").read_text()) == found
    for name in ("bytes.png", "bytes-wire.png"):
        with Image.open(tmp_path / "out" / name) as figure:
            assert figure.width > 500
    page = (tmp_path / "out" / "bytes.md").read_text()
    assert "| who | setting |" in page
    assert "| a picture in our session, with its answer | 48 | 63 |" in page


def test_goes_on_where_it_was_interrupted(
    folder: Path, options: room.Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, measured = tmp_path / "out", Contest._measured
    done: list[tuple[str, Way]] = []
    limit = 3

    def counted(self: Contest, ways: Sequence[Way], begin: int, end: int) -> Iterator[tuple[Way, Outcome]]:
        for way, outcome in measured(self, ways, begin, end):
            if len(done) == limit:
                raise KeyboardInterrupt
            done.append((self.name, way))
            yield way, outcome

    monkeypatch.setattr(Contest, "_measured", counted)
    with pytest.raises(KeyboardInterrupt, match="goes on"):
        room.run(folder, out, options)
    assert len(done) == limit
    limit = 1000
    room.run(folder, out, options)
    assert len(done) == len(set(done)) > 3
    once, often = (out / "bytes.json").read_text(), len(done)
    room.run(folder, out, options)
    assert len(done) == often
    assert (out / "bytes.json").read_text() == once


def test_other_pictures_are_measured_anew(folder: Path, options: room.Options, tmp_path: Path) -> None:
    """A ledger is of its pictures, not of how many they are."""
    first = room._contest(room._open(folder, tmp_path / "out", options), "val", exact=True)
    renamed = next((folder / "val").rglob("*.png"))
    renamed.rename(renamed.with_name("another.png"))
    again = room._contest(room._open(folder, tmp_path / "out", options), "val", exact=True)
    assert len(first.sending.pictures) == len(again.sending.pictures)
    assert first.name != again.name


def outcome(size: int, right: float, bare: int | None = None, n: int = 100) -> Outcome:
    without = np.full(n, size if bare is None else bare)
    return Outcome(np.full(n, size), without, np.arange(n) < right * n)


def test_best_ways_are_those_on_a_frontier_between_floor_and_ceiling() -> None:
    good, dear, bare, poor = FEW
    tried = [
        (good, outcome(300, 0.8, 290)),
        (dear, outcome(400, 0.7, 390)),
        (bare, outcome(500, 0.79, 200)),
        (poor, outcome(100, 0.3)),
    ]
    assert room._best(tried, floor=0.6, ceiling=1.0) == [good, bare]
    assert room._best(tried, floor=0.2, ceiling=1.0) == [poor, good, bare]
    assert room._best(tried[:1], floor=0.95, ceiling=1.0) == [good]
    climbing = [(way, outcome(300 * 2**i, 0.5 + 0.1 * i)) for i, way in enumerate(FEW)]
    assert room._best(climbing, floor=0.45, ceiling=0.65) == FEW[:3]


def test_network_answers_what_the_codec_leaves_of_a_picture(
    folder: Path, options: room.Options, tmp_path: Path
) -> None:
    sides = room._open(folder, tmp_path / "out", options)
    way = Way("webp", 48, 30)
    contest = room._contest(sides, "val", exact=True)
    found = contest.run([way], "test")[way]
    network, pictures = sides.rival.system.module, contest.sending.pictures
    for i in (0, 7):
        one = contest.sending.prepare(Job(way, i, i + 1))
        assert one.rgb.shape == (1, 3, SIZE, SIZE)
        with torch.inference_mode():
            right = int(network(one.rgb.float()).argmax()) == pictures.targets[i]
        assert (found.bytes[i], found.bare[i]) == (one.bytes[0], one.bare[0])
        assert found.right[i] == right


def test_a_network_of_another_cost_is_told(
    folder: Path, options: room.Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides = room._open(folder, tmp_path / "out", options)
    told = Console(file=io.StringIO(), width=200)
    for factor in (0.96, 1.0, 1.07, 1.12):
        found = {"rival": factor * 1e9, "ours": 1e9}
        monkeypatch.setattr(room, "_macs", lambda _, found=found: found)
        room._warn(sides, told)
    assert isinstance(told.file, io.StringIO)
    assert told.file.getvalue().count("another size") == 1


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
