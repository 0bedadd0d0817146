"""`overtone calibrate` as a person meets it."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from overtone.cli import app
from overtone.frequency import THREE_LAYERS, TWO_LAYERS
from overtone.models import load, read_card, rewrite
from tests.training.test_evaluate import document

runner = CliRunner()


@pytest.fixture
def checkpoint(two_class_checkpoint: Path, tmp_path: Path) -> Path:
    path = tmp_path / "mine.safetensors"
    path.write_bytes(two_class_checkpoint.read_bytes())
    return path


def output(arguments: list[str], images: Path) -> str:
    found = runner.invoke(app, ["calibrate", *arguments, "--data", str(images), "--workers", "0"])
    assert found.exit_code == 0, found.output
    return found.stdout


def printed(arguments: list[str], images: Path) -> Any:
    return json.loads(output([*arguments, "--json"], images))


def test_standard_points_replace_what_was_there(checkpoint: Path, images: Path) -> None:
    weights = load(checkpoint)[0].state_dict()
    out = printed([str(checkpoint)], images)
    model, card = load(checkpoint)
    assert [p.name for p in card.operating_points] == ["careful", "balanced", "thrifty"]
    assert card.operating_point == out["default"] == "balanced"
    assert list(card.temperatures) == out["temperatures"]
    for point in card.operating_points:
        assert (point.n, point.k, point.quality) == (2, 0, 2)
        assert point.profile == out["profile"] == card.profile.id.hex()
        assert point.data == f"{images.name}/calibration"
        assert point.exit_share == 0  # two images are too few for any guarantee
    assert all((value == weights[key]).all() for key, value in model.state_dict().items())
    table = " ".join(output([str(checkpoint)], images).split())
    assert "wrote" in table
    assert "never" in table


def test_one_point_is_added_at_one_quality(checkpoint: Path, images: Path) -> None:
    before = read_card(checkpoint)
    arguments = ["--split", "train", "--share", "0.25", "--name", "quarter", "--quality", "3", "--default"]
    out = printed([str(checkpoint), *arguments], images)
    card = read_card(checkpoint)
    assert card.temperatures == before.temperatures
    assert card.operating_points[1:] == before.operating_points
    assert card.operating_point == "quarter"
    point = card.point("quarter", 3)
    assert point.model_dump(mode="json", exclude_none=True) == out["operating_points"][0]
    assert (point.method, point.share, point.quality, point.n) == ("share", 0.25, 3, 24)
    assert card.certified()["quarter"] == (3,)


def test_a_checkpoint_is_given_three_layers_and_two_again(
    checkpoint: Path, images: Path, tmp_path: Path
) -> None:
    weights, before = load(checkpoint)[0].state_dict(), read_card(checkpoint)
    three = tmp_path / "three.safetensors"
    arguments = ["--layers", "3", "--out", str(three), "--report", "val", "--with-mix"]
    out = printed([str(checkpoint), *arguments], images)
    model, card = load(three)
    assert card.profile.ladder == THREE_LAYERS
    assert card.profile.steps == before.profile.steps
    assert card.profile.id != before.profile.id
    assert len(card.temperatures) == len(out["temperatures"]) == 3
    assert card.certified()["balanced"] == card.profile.qualities
    assert all(len(p.thresholds) == len(p.all_below) == 2 for p in card.operating_points)
    (found,) = card.accuracy
    assert len(found.top1) == len(found.sizes) == len(found.shares) == 3
    assert sum(found.shares) == pytest.approx(1)
    assert all((value == weights[key]).all() for key, value in model.state_dict().items())
    rows = document(three, images)["layers"]
    assert [(row["band"], row["factor"]) for row in rows] == list(THREE_LAYERS)
    assert tuple(row["top1"] for row in rows) == found.top1
    output([str(three), "--layers", "2"], images)
    assert read_card(three).profile.ladder == TWO_LAYERS
    assert len(read_card(three).temperatures) == 2
    # Tables are fitted, so the profile is not the one it began with.
    again = read_card(three).profile.id
    output([str(checkpoint), "--layers", "2"], images)
    assert read_card(checkpoint).profile.id == again


def test_a_mix_is_kept_and_dropped(checkpoint: Path, images: Path, tmp_path: Path) -> None:
    before = checkpoint.read_bytes()
    out = tmp_path / "other.safetensors"
    output([str(checkpoint), "--out", str(out), "--report", "val", "--with-mix"], images)
    assert checkpoint.read_bytes() == before
    model, card = load(out)
    assert model.mix == card.mix is not None
    assert (card.accuracy[0].data, card.accuracy[0].n) == (f"{images.name}/val", 6)
    output([str(out), "--without-mix"], images)
    assert read_card(out).mix is None


def test_stale_certificates_are_made_again(checkpoint: Path, images: Path) -> None:
    output([str(checkpoint)], images)
    card = read_card(checkpoint)
    stale = tuple(p.model_copy(update={"profile": "00c0ffee"}) for p in card.operating_points)
    rewrite(checkpoint, card.model_copy(update={"operating_points": stale}), checkpoint)
    refused = runner.invoke(app, ["evaluate", str(checkpoint), "--data", str(images)])
    assert "overtone calibrate" in refused.stderr
    # A single point cannot be added beside them.
    added = runner.invoke(app, ["calibrate", str(checkpoint), "--data", str(images), "--share", "0.5"])
    assert (added.exit_code, "00c0ffee" in added.stderr) == (1, True)
    output([str(checkpoint)], images)
    assert read_card(checkpoint).operating_points == card.operating_points


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["imagenette"], "give --out FILE"),
        (["CHECKPOINT", "--out", "/nowhere/x.safetensors"], "no such folder"),
        (["CHECKPOINT", "--alpha", "2"], "between 0 and 1"),
        (["CHECKPOINT", "--out", "."], "a folder"),
        (["CHECKPOINT", "--alpha", "0.1", "--share", "0.1"], "one target"),
        (["CHECKPOINT", "--quality", "9"], "no quality 9"),
        (["CHECKPOINT", "--share", "0.5", "--with-mix"], "a mix changes every point"),
        (["CHECKPOINT", "--share", "0.5", "--layers", "3"], "a ladder changes every point"),
        (["CHECKPOINT", "--layers", "3", "--quality", "1"], "a ladder changes every point"),
        (["CHECKPOINT", "--agreement"], "names no teacher"),
        (["CHECKPOINT", "--split", "foo"], "no split 'foo'"),
        (["CHECKPOINT", "--report", "foo"], "no split 'foo'"),
        (["CHECKPOINT", "--data", "/nowhere"], "/nowhere: no such folder"),
        (["mix", "CHECKPOINT", "--report", "foo"], "no split 'foo'"),
        (["simulate", "nowhere"], "no such checkpoint"),
    ],
)
def test_mistakes_are_found_before_the_work(
    arguments: list[str], message: str, checkpoint: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overtone.training.calibration.calibrate.predict_each", None)
    refused(arguments, message, checkpoint, images)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["CHECKPOINT", "--mean-bytes", "1"], "low alone takes"),
        (["simulate", "CHECKPOINT", "--count", "2"], "1 to 1"),
    ],
)
def test_mistakes_that_only_the_work_shows(
    arguments: list[str], message: str, checkpoint: Path, images: Path
) -> None:
    refused(arguments, message, checkpoint, images)


def refused(arguments: list[str], message: str, checkpoint: Path, images: Path) -> None:
    """One line on standard error, and the checkpoint is unchanged."""
    before = checkpoint.read_bytes()
    given = [str(checkpoint) if a == "CHECKPOINT" else a for a in arguments]
    data = [] if "--data" in given else ["--data", str(images)]
    found = runner.invoke(app, ["calibrate", *given, *data, "--workers", "0"])
    assert found.exit_code == 1
    assert message in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1
    assert checkpoint.read_bytes() == before


def test_trials_store_nothing(checkpoint: Path, images: Path) -> None:
    before = checkpoint.read_bytes()
    split = [str(checkpoint), "--split", "train"]
    trials = printed(["simulate", *split, "--splits", "20", "--alpha", "0.3"], images)
    assert (trials[0]["n"], trials[0]["splits"], trials[0]["bound"]) == (12, 20, 0.3)
    three = str(checkpoint.with_name("three.safetensors"))
    output([str(checkpoint), "--layers", "3", "--out", three], images)
    (trial,) = printed(["simulate", three, *split[1:], "--splits", "5", "--mean-bytes", "4000"], images)
    assert (trial["n"], trial["bound"], trial["holds"]) == (12, 4000, True)
    mixes = printed(["mix", *split, "--report", "val"], images)
    assert set(mixes["on"]) == {"train, cross-validated", "val"}
    assert set(mixes["on"]["val"]) == {"high alone", "equal", "fitted"}
    for trial in (["simulate", *split, "--splits", "2"], ["mix", *split]):
        assert output(trial, images).count("\n") > 4
    assert checkpoint.read_bytes() == before
