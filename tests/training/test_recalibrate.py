"""`overtone calibrate` as a person meets it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from overtone.cli import app
from overtone.models import load, read_card, rewrite

runner = CliRunner()


@pytest.fixture(scope="module")
def folder(photograph: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train/ with 20 pictures of two of the tiny checkpoint's classes, val/ with 3."""
    data = tmp_path_factory.mktemp("data")
    for part, count in (("train", 20), ("val", 3)):
        for number in (0, 3):
            (data / part / f"class {number}").mkdir(parents=True)
            for i in range(count):
                moved = np.roll(photograph, (3 * i, 7 * i + number), axis=(0, 1))
                Image.fromarray(moved).save(data / part / f"class {number}" / f"{i}.png")
    return data


@pytest.fixture
def checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    path = tmp_path / "mine.safetensors"
    path.write_bytes(tiny_checkpoint.read_bytes())
    return path


def said(arguments: list[str], folder: Path) -> str:
    found = runner.invoke(app, ["calibrate", *arguments, "--data", str(folder), "--workers", "0"])
    assert found.exit_code == 0, found.output
    return found.stdout


def printed(arguments: list[str], folder: Path) -> Any:
    return json.loads(said([*arguments, "--json"], folder))


def test_standard_points_replace_what_was_there(checkpoint: Path, folder: Path) -> None:
    weights = load(checkpoint)[0].state_dict()
    out = printed([str(checkpoint)], folder)
    model, card = load(checkpoint)
    assert [p.name for p in card.operating_points] == ["careful", "balanced", "thrifty"]
    assert card.operating_point == out["default"] == "balanced"
    assert card.temperature.model_dump() == out["temperature"]
    for point in card.operating_points:
        assert (point.n, point.k, point.quality) == (4, 0, 2)
        assert point.profile == out["profile"] == card.profile.id.hex()
        assert point.data == f"{folder.name}/calibration"
        assert point.exit_share == 0  # four pictures are too few for any promise
    assert all((value == weights[key]).all() for key, value in model.state_dict().items())


def test_the_table_says_why_nothing_is_answered_early(checkpoint: Path, folder: Path) -> None:
    table = " ".join(said([str(checkpoint)], folder).split())
    assert "wrote" in table
    assert "never" in table


def test_one_point_is_added_at_one_quality(checkpoint: Path, folder: Path) -> None:
    before = read_card(checkpoint)
    arguments = ["--part", "train", "--share", "0.25", "--name", "quarter", "--quality", "3", "--default"]
    out = printed([str(checkpoint), *arguments], folder)
    card = read_card(checkpoint)
    assert card.temperature == before.temperature
    assert card.operating_points[1:] == before.operating_points
    assert card.operating_point == "quarter"
    point = card.point("quarter", 3)
    assert point.model_dump(mode="json", exclude_none=True) == out["operating_points"][0]
    assert (point.method, point.share, point.quality, point.n) == ("share", 0.25, 3, 40)
    assert card.certified()["quarter"] == (3,)


def test_a_rate_aware_point(checkpoint: Path, folder: Path) -> None:
    arguments = ["--part", "train", "--alpha", "0.4", "--rate-aware", "--name", "wise"]
    out = printed([str(checkpoint), *arguments], folder)
    point = read_card(checkpoint).point("wise")
    assert point.rule is not None
    assert point.n == 20  # half of them taught the rule
    assert out["operating_points"][0]["rule"]["price"] == point.rule.price


def test_out_leaves_the_checkpoint_alone(checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    before = checkpoint.read_bytes()
    out = tmp_path / "other.safetensors"
    said([str(checkpoint), "--out", str(out), "--report", "val", "--with-mix"], folder)
    assert checkpoint.read_bytes() == before
    model, card = load(out)
    assert model.mix == card.mix is not None
    assert (card.accuracy[0].data, card.accuracy[0].n) == (f"{folder.name}/val", 6)
    said([str(out), "--without-mix"], folder)
    assert read_card(out).mix is None


def test_stale_certificates_are_made_again(checkpoint: Path, folder: Path) -> None:
    said([str(checkpoint)], folder)
    card = read_card(checkpoint)
    stale = tuple(p.model_copy(update={"profile": "00c0ffee"}) for p in card.operating_points)
    rewrite(checkpoint, card.model_copy(update={"operating_points": stale}), checkpoint)
    refused = runner.invoke(app, ["evaluate", str(checkpoint), "--data", str(folder)])
    assert "overtone calibrate" in refused.stderr
    # One point cannot be added beside them.
    added = runner.invoke(app, ["calibrate", str(checkpoint), "--data", str(folder), "--share", "0.5"])
    assert (added.exit_code, "00c0ffee" in added.stderr) == (1, True)
    said([str(checkpoint)], folder)
    assert read_card(checkpoint).operating_points == card.operating_points


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["imagenette"], "give --out FILE"),
        (["CHECKPOINT", "--out", "/nowhere/x.safetensors"], "no such folder"),
        (["CHECKPOINT", "--alpha", "2"], "between 0 and 1"),
        (["CHECKPOINT", "--out", "."], "a folder"),
        (["CHECKPOINT", "--alpha", "0.1", "--share", "0.1"], "one promise"),
        (["CHECKPOINT", "--delta", "0.1"], "give alpha too"),
        (["CHECKPOINT", "--rate-aware"], "needs a promise"),
        (["CHECKPOINT", "--rate-aware", "--alpha", "0.1", "--delta", "0.1"], "in expectation only"),
        (["CHECKPOINT", "--quality", "9"], "no quality 9"),
        (["CHECKPOINT", "--share", "0.5", "--with-mix"], "a mix changes every point"),
        (["CHECKPOINT", "--part", "foo"], "no part 'foo'"),
        (["CHECKPOINT", "--report", "foo"], "no part 'foo'"),
        (["CHECKPOINT", "--data", "/nowhere"], "/nowhere: no such folder"),
        (["CHECKPOINT", "--deferral-plot", "/nowhere/x.png"], "no such folder"),
        (["CHECKPOINT", "--deferral-plot", "x.txt"], "ends in .png"),
    ],
)
def test_mistakes_are_found_before_the_work(
    arguments: list[str], message: str, checkpoint: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overtone.training.recalibrate.predict", None)
    refused(arguments, message, checkpoint, folder)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["CHECKPOINT", "--mean-bytes", "1"], "low alone takes"),
        (["CHECKPOINT", "--simulate", "--count", "4"], "1 to 3"),
    ],
)
def test_mistakes_that_only_the_work_shows(
    arguments: list[str], message: str, checkpoint: Path, folder: Path
) -> None:
    refused(arguments, message, checkpoint, folder)


def refused(arguments: list[str], message: str, checkpoint: Path, folder: Path) -> None:
    """One line on standard error, and the checkpoint as it was."""
    before = checkpoint.read_bytes()
    given = [str(checkpoint) if a == "CHECKPOINT" else a for a in arguments]
    found = runner.invoke(app, ["calibrate", "--data", str(folder), "--workers", "0", *given])
    assert found.exit_code == 1
    assert message in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1
    assert checkpoint.read_bytes() == before


def test_trials_store_nothing(checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    before = checkpoint.read_bytes()
    part = ["--part", "train"]
    kept = printed([str(checkpoint), *part, "--simulate", "--splits", "20", "--alpha", "0.3"], folder)
    assert (kept[0]["n"], kept[0]["splits"], kept[0]["promised"]) == (20, 20, 0.3)
    mixes = printed([str(checkpoint), *part, "--mix", "--report", "val"], folder)
    assert set(mixes["on"]) == {"train, cross-validated", "val"}
    assert set(mixes["on"]["val"]) == {"high alone", "equal", "fitted"}
    plot = tmp_path / "rule.png"
    drawn = printed([str(checkpoint), *part, "--deferral-plot", str(plot), "--report", "val"], folder)
    assert json.loads(plot.with_suffix(".json").read_text("utf-8")) == drawn
    assert plot.stat().st_size > 10_000
    for trial in (["--simulate", "--splits", "2"], ["--mix"], ["--deferral-plot", str(plot)]):
        assert said([str(checkpoint), *part, *trial], folder).count("\n") > 4
    assert checkpoint.read_bytes() == before
