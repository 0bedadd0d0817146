"""`overtone evaluate`, as a person and as a program meet it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from overtone.cli import app

runner = CliRunner()


def evaluate(checkpoint: Path, data: Path, *options: object) -> Result:
    words = ["evaluate", checkpoint, "--data", data, "--device", "cpu", "--workers", "0", *options]
    return runner.invoke(app, [str(word) for word in words], env={"COLUMNS": "100"})


def document(checkpoint: Path, data: Path, *options: object) -> dict[str, Any]:
    found = evaluate(checkpoint, data, "--json", *options)
    assert found.exit_code == 0, found.output
    printed: dict[str, Any] = json.loads(found.stdout)
    return printed


def test_json_has_what_programs_build_on(tiny_checkpoint: Path, labelled_folder: Path) -> None:
    found = document(tiny_checkpoint, labelled_folder)
    assert (found["n"], found["size"], found["quality"], found["threshold"]) == (4, 64, 2, 0.5)
    for mode in ("low", "both", "cascade"):
        assert 0 <= found[mode]["top1"] <= found[mode]["top5"] <= 1
    assert found["low"]["mean_payload_bytes"] < found["both"]["mean_payload_bytes"]
    assert found["cost"]["low_macs"] <= found["cost"]["mean_macs"] <= found["cost"]["macs"]
    rows = {row["operating_point"]: row for row in found["thresholds"]}
    assert rows.keys() == {None, "always", "default", "never"}
    assert rows["always"]["exit_share"] == 1
    assert rows["always"]["low_answer_top1"] == found["low"]["top1"]
    assert rows["never"]["top1"] == found["both"]["top1"]
    assert rows["default"]["mean_payload_bytes"] == found["cascade"]["mean_payload_bytes"]
    assert [row["factor"] for row in found["layers"]] == [1, 1]
    assert [row["top1"] for row in found["layers"]] == [found["low"]["top1"], found["both"]["top1"]]
    assert sum(row["share"] for row in found["layers"]) == pytest.approx(1)
    assert found["rule"] == {"thresholds": [0.5], "all_below": []}
    for calibration in found["calibration"]:
        # The temperatures of the tiny checkpoint are 1.
        assert calibration["before"] == calibration["after"]
        assert 0 <= calibration["before"]["ece"] <= 1
    assert "qualities" not in found


def test_every_quality_has_the_default_one_at_the_top(tiny_checkpoint: Path, labelled_folder: Path) -> None:
    found = document(tiny_checkpoint, labelled_folder, "--every-quality")
    assert [entry["quality"] for entry in found["qualities"]] == [1, 2, 3]
    assert found["quality"] == 2
    assert found["low"] == found["qualities"][1]["low"]
    sent = [entry["both"]["mean_payload_bytes"] for entry in found["qualities"]]
    assert sent == sorted(sent)


def test_more_tables_only_if_asked_for(tiny_checkpoint: Path, labelled_folder: Path) -> None:
    plain = evaluate(tiny_checkpoint, labelled_folder).stdout
    assert "always both" in plain
    assert "M parameters" in plain
    assert "Thresholds" not in plain
    full = evaluate(tiny_checkpoint, labelled_folder, "--full", "--threshold", "0.62").stdout
    assert {"Thresholds at quality 2", "Reliability at quality 2"} <= {
        line.strip() for line in full.splitlines()
    }
    assert "asked" in full
    assert all(len(line) <= 100 for line in full.splitlines())
    assert "…" not in full


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--quality", "9"), "no quality 9"),
        (("--split", "test"), "no split 'test'"),
        (("--part", "test"), "no split 'test'"),
        (("--operating-point", "rash"), "no operating point 'rash'"),
        (("--operating-point", "always", "--threshold", "0.5"), "give one of the two"),
    ],
)
def test_mistakes_are_found_before_the_work(
    tiny_checkpoint: Path,
    labelled_folder: Path,
    options: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("overtone.training.evaluation.evaluate.predict_each", None)
    found = evaluate(tiny_checkpoint, labelled_folder, *options)
    assert found.exit_code == 1
    assert message in found.stderr
    assert len(found.stderr.splitlines()) == 1


@pytest.mark.parametrize("option", [("--threshold", "7"), ("--threshold", "-1"), ("--workers", "-3")])
def test_numbers_out_of_range_are_refused(
    tiny_checkpoint: Path, labelled_folder: Path, option: tuple[str, str]
) -> None:
    found = evaluate(tiny_checkpoint, labelled_folder, *option)
    assert found.exit_code == 2
    assert option[0] in found.stderr


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_damaged_image_is_named_in_one_line(
    tiny_checkpoint: Path, labelled_folder: Path, workers: str
) -> None:
    broken = labelled_folder / "val" / "class 3" / "broken.png"
    broken.write_bytes(b"\x89PNG and no more")
    found = evaluate(tiny_checkpoint, labelled_folder, "--workers", workers)
    assert found.exit_code == 1
    (line,) = found.stderr.splitlines()
    assert line.startswith(f"overtone: {broken}: not a")


def test_some_of_the_classes_are_enough(tiny_checkpoint: Path, labelled_folder: Path) -> None:
    """Empty and missing classes are accepted, unknown ones are not."""
    (labelled_folder / "val" / "class 7").mkdir()
    # The folder of images itself is as good.
    assert document(tiny_checkpoint, labelled_folder / "val")["n"] == 4
    shutil.move(labelled_folder / "val" / "class 3", labelled_folder / "val" / "walrus")
    found = evaluate(tiny_checkpoint, labelled_folder)
    assert found.exit_code == 1
    assert "walrus" in found.stderr
