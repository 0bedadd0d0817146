"""`overtone evaluate` on a cascade, as a person and as a program meet it."""

import json
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
    assert rows["never"]["low_answer_top1"] is None
    assert rows["default"]["mean_payload_bytes"] == found["cascade"]["mean_payload_bytes"]
    for stage in ("low", "high"):
        calibration = found["calibration"][stage]
        # The tiny checkpoint's temperatures are 1.
        assert calibration["before"] == calibration["after"]
        assert 0 <= calibration["before"]["ece"] <= 1
        assert sum(b["n"] for b in calibration["before"]["bins"]) == 4
    assert "qualities" not in found


def test_every_quality_has_the_default_one_at_the_top(tiny_checkpoint: Path, labelled_folder: Path) -> None:
    found = document(tiny_checkpoint, labelled_folder, "--every-quality")
    assert [entry["quality"] for entry in found["qualities"]] == [1, 2, 3]
    assert found["quality"] == 2
    assert found["low"] == found["qualities"][1]["low"]
    sent = [entry["both"]["mean_payload_bytes"] for entry in found["qualities"]]
    assert sent == sorted(sent)


def test_tables_only_as_asked(tiny_checkpoint: Path, labelled_folder: Path) -> None:
    plain = evaluate(tiny_checkpoint, labelled_folder).stdout
    assert "always both" in plain
    assert "M parameters" in plain
    assert "Thresholds" not in plain
    assert "Reliability" not in plain
    full = evaluate(tiny_checkpoint, labelled_folder, "--full").stdout
    assert {"Thresholds at quality 2", "Reliability at quality 2"} <= {
        line.strip() for line in full.splitlines()
    }
    assert all(len(line) <= 100 for line in full.splitlines())
    assert "…" not in full
    thresholds = evaluate(tiny_checkpoint, labelled_folder, "--thresholds", "--threshold", "0.62").stdout
    assert "asked" in thresholds
    assert "Reliability" not in thresholds


def test_pictures_are_written_and_named_on_standard_error(
    tiny_checkpoint: Path, labelled_folder: Path, tmp_path: Path
) -> None:
    plots, gallery = tmp_path / "new" / "plots", tmp_path / "new" / "gallery.png"
    options = ("--plots", plots, "--gallery", gallery, "--count", "1", "--json")
    found = evaluate(tiny_checkpoint, labelled_folder, *options)
    assert found.exit_code == 0, found.output
    json.loads(found.stdout)
    written = {path.name for path in plots.iterdir()}
    assert written == {"reliability.png", "thresholds.png", "bytes.png"}
    for path in (*plots.iterdir(), gallery):
        assert path.read_bytes().startswith(b"\x89PNG")
        assert f"wrote {path}" in found.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--quality", "9"), "no quality 9"),
        (("--part", "test"), "no part 'test'"),
        (("--gallery", "faces.jpg"), "ends in .png"),
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
    monkeypatch.setattr("overtone.training.evaluate.predict", None)
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
def test_a_damaged_picture_is_named_in_one_line(
    tiny_checkpoint: Path, labelled_folder: Path, workers: str
) -> None:
    broken = labelled_folder / "val" / "class 3" / "broken.png"
    broken.write_bytes(b"\x89PNG and no more")
    found = evaluate(tiny_checkpoint, labelled_folder, "--workers", workers)
    assert found.exit_code == 1
    assert found.stderr.splitlines() == [f"overtone: {broken}: not an image that Pillow can read"]


def test_empty_and_missing_classes_are_fine_and_unknown_ones_are_not(
    tiny_checkpoint: Path, labelled_folder: Path
) -> None:
    (labelled_folder / "val" / "class 7").mkdir()
    assert document(tiny_checkpoint, labelled_folder)["n"] == 4
    # The folder of pictures itself is as good.
    assert document(tiny_checkpoint, labelled_folder / "val")["n"] == 4
    (labelled_folder / "val" / "walrus").mkdir()
    found = evaluate(tiny_checkpoint, labelled_folder)
    assert found.exit_code == 1
    assert "walrus" in found.stderr
