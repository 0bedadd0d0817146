from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from overtone.benchmarks.codec import layers
from overtone.frequency import THREE_LAYERS, Profile, encode_values


def test_bytes_are_means_of_whole_payloads() -> None:
    p = Profile.uniform(["any"], size=16, steps=(16,), ladder=THREE_LAYERS)
    images = np.random.default_rng(0).integers(-9, 9, (2, 24, 2, 2)).astype(np.int16)
    each = [encode_values(image, p, 1).layers for image in images]
    assert layers.mean_bytes(images, p, 1) == [(len(a) + len(b)) / 2 for a, b in zip(*each, strict=True)]


def test_a_row_ends_with_the_ratio() -> None:
    assert layers.row(3, [60, 40], [30, 31, 42]) == ["3", "30", "31", "42", "103", "60", "40", "100", "1.030"]


def test_fitted_profiles_are_kept_and_read_again(
    picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = Profile.uniform(["any"], size=32, steps=(64, 16))
    card = type("Card", (), {"profile": profile})
    monkeypatch.setattr("overtone.models.load", lambda _: (None, card))
    app = typer.Typer()
    app.command()(layers.main)
    options = ["--data", str(picture_folder), "--train-on", "3", "--measured", "2", "--effort", "0"]
    first = CliRunner().invoke(app, [*options, "--profiles", str(tmp_path)])
    assert first.exit_code == 0, first.output
    monkeypatch.setattr(layers, "fitted", lambda *_: pytest.fail("fitted again"))
    again = CliRunner().invoke(app, [*options, "--profiles", str(tmp_path)])
    assert again.output == first.output
    assert "ratio" in again.output
    assert replace(
        profile, ladder=THREE_LAYERS, tables=Profile.from_json((tmp_path / "ladder.json").read_text()).tables
    )
