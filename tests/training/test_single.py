"""`overtone evaluate` on a network that is no cascade."""

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from overtone.cli import app
from overtone.training import weights
from overtone.training.systems import build
from tests.training import runs

runner = CliRunner()
CLASSES = ("cold", "warm")


@pytest.fixture(params=["rgb", "frequency"])
def network(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    recipe = runs.recipe(runs.SINGLES[request.param], (1,))
    path = tmp_path / "single.safetensors"
    weights.save(path, build(recipe, len(CLASSES)), recipe, CLASSES)
    return path


def test_accuracy_at_every_step(network: Path, picture_folder: Path) -> None:
    words = ["evaluate", str(network), "--data", str(picture_folder), "--device", "cpu", "--workers", "0"]
    found = runner.invoke(app, [*words, "--json"])
    assert found.exit_code == 0, found.output
    printed = json.loads(found.stdout)
    rgb = weights.load(network).system.channels is None
    assert [entry["step"] for entry in printed["steps"]] == ([None] if rgb else [64, 32])
    assert (printed["n"], printed["size"], printed["top5"]) == (6, 64, 1)
    # Two classes of three pictures each, and a network that knows nothing.
    assert printed["top1"] in {i / 6 for i in range(7)}
    assert printed["cost"]["parameters"] > 0
    assert printed["cost"]["macs"] > 0
    shown = runner.invoke(app, words)
    assert shown.exit_code == 0
    assert "top-5" in shown.stdout
    refused = runner.invoke(app, [*words, "--thresholds"])
    assert refused.exit_code == 1
    assert "single network" in refused.stderr
