"""A gate trained for an instant: its heat maps, their pictures, and the sweep that makes them."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from overtone.cli import app
from overtone.training import gate, weights
from overtone.training.data import part
from overtone.training.heatmap import HeatMap, HeatMapError, measure
from overtone.training.recipe import RecipeError, load_recipe
from overtone.training.resume import ResumeError
from overtone.training.systems import Gated, build

CPU = torch.device("cpu")
RECIPE = """
size = 64
epochs = [1]
[network]
kind = "gate"
cost = 1.0
width = 0.0625
layers = [1, 1, 1, 1]
[optimiser]
lr = 0.05
batch = 8
warmup = 0.5
[quality]
steps = [16, 4]
"""


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    path = tmp_path / "tiny-gate.toml"
    path.write_text(RECIPE)
    return str(path)


def untrained(recipe: str, classes: tuple[str, ...] = ("cold", "warm")) -> weights.Trained:
    """Channels 3 and 70 closed, all others open."""
    chosen = load_recipe(recipe)
    torch.manual_seed(0)
    system = build(chosen, len(classes))
    assert isinstance(system, Gated)
    bias = system.network.gate.decide.bias
    assert bias is not None
    with torch.no_grad():
        bias.view(-1, 2)[[3, 70]] = torch.tensor([9.0, -9.0])
    return weights.Trained(system, chosen, classes)


def test_open_channels_are_counted(picture_folder: Path, recipe: str) -> None:
    found = measure(untrained(recipe), part(picture_folder, "val"), "pictures/val", CPU)
    assert found.n == 6
    assert found.cost == 1
    assert found.step == 4, "the finest"
    assert [i for i, share in enumerate(found.open) if share < 1] == [3, 70]
    assert found.mean_open == 190
    assert found.top1 in (0, 0.5, 1) or 0 < found.top1 < 1


def test_the_gate_sees_normalised_coefficients(picture_folder: Path, recipe: str) -> None:
    trained = untrained(recipe)
    seen: list[torch.Tensor] = []
    assert isinstance(trained.system, Gated)
    trained.system.normalise(torch.full((192,), 5.0), torch.full((192,), 2.0))
    trained.system.network.gate.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    pictures = part(picture_folder, "val")
    measure(trained, pictures, "pictures/val", CPU)
    shifted = seen.pop()
    trained.system.normalise(torch.zeros(192), torch.ones(192))
    measure(trained, pictures, "pictures/val", CPU)
    torch.testing.assert_close(shifted, (seen.pop() - 5) / 2)


def test_written_and_read(picture_folder: Path, recipe: str, tmp_path: Path) -> None:
    found = measure(untrained(recipe), part(picture_folder, "val"), "pictures/val", CPU)
    found.write(tmp_path / "heatmap.json")
    written = json.loads((tmp_path / "heatmap.json").read_text())
    assert {"lambda", "n", "data", "open", "mean_open", "top1"} <= written.keys()
    assert written["lambda"] == 1
    assert len(written["open"]) == 192
    assert HeatMap.read(tmp_path / "heatmap.json") == found


@pytest.mark.parametrize("text", ["", "{}", '{"lambda": 1, "open": [2.0]}'])
def test_what_is_no_heat_map_is_said(text: str, tmp_path: Path) -> None:
    path = tmp_path / "heatmap.json"
    with pytest.raises(HeatMapError, match="no such file"):
        HeatMap.read(path)
    path.write_text(text)
    with pytest.raises(HeatMapError, match="not a heat map"):
        HeatMap.read(path)


def test_a_run_without_a_gate_has_none(picture_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "plain.toml"
    path.write_text(RECIPE.replace('kind = "gate"\ncost = 1.0', 'kind = "resnet50"\ninput = 6'))
    chosen = load_recipe(str(path))
    plain = weights.Trained(build(chosen, 2), chosen, ("cold", "warm"))
    with pytest.raises(HeatMapError, match="no gate"):
        measure(plain, part(picture_folder, "val"), "pictures/val", CPU)
    with pytest.raises(RecipeError, match="no gate"):
        gate.sweep(str(path), picture_folder, [1.0], tmp_path / "runs", workers=0, device="cpu")


def test_sweep_trains_measures_draws_and_goes_on(picture_folder: Path, recipe: str, tmp_path: Path) -> None:
    out = tmp_path / "runs"

    def sweep(costs: list[float]) -> list[HeatMap]:
        return gate.sweep(recipe, picture_folder, costs, out, workers=0, device="cpu")

    first = sweep([2.0])
    log = out / "2" / "log.jsonl"
    before = log.stat().st_mtime_ns
    both = sweep([2.0, 0.5])
    assert [h.cost for h in both] == [0.5, 2.0]
    assert both[1] == first[0]
    assert log.stat().st_mtime_ns == before, "what is done is not trained again"
    assert both[0].data.endswith("/val")
    assert both[0].n == 6
    assert HeatMap.read(out / "2" / gate.CALIBRATION).data.endswith("/calibration")
    for picture in (out / "gate.png", out / "2" / "heatmap.png"):
        with Image.open(picture) as drawn:
            assert min(drawn.size) > 500
    run = json.loads((out / "2" / "run.json").read_text())
    assert run["recipe"]["network"]["cost"] == 2
    assert run["command"].endswith("--cost 2")
    assert [h["lambda"] for h in run["heatmaps"]] == [2, 2]
    assert run["results"][-1]["top1"] == pytest.approx(first[0].top1)


def test_sweep_refuses_another_recipes_run(picture_folder: Path, recipe: str, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    gate.sweep(recipe, picture_folder, [1.0], out, workers=0, device="cpu")
    with pytest.raises(HeatMapError, match="another recipe"):
        gate.sweep(recipe, picture_folder, [1.0], out, seed=5, workers=0, device="cpu")
    (out / "1" / gate.CALIBRATION).unlink()
    with pytest.raises(ResumeError, match="another recipe"):
        gate.sweep(recipe, picture_folder, [1.0], out, seed=5, workers=0, device="cpu")


@pytest.mark.parametrize("costs", [[], [-1.0]])
def test_lambdas_that_cannot_be(
    costs: list[float], picture_folder: Path, recipe: str, tmp_path: Path
) -> None:
    with pytest.raises(HeatMapError, match="--cost"):
        gate.sweep(recipe, picture_folder, costs, tmp_path / "runs", workers=0, device="cpu")
    assert not (tmp_path / "runs").exists()


def test_commands_of_the_group_explain_themselves() -> None:
    for command in ("gate", "select"):
        found = CliRunner().invoke(app, ["train", command, "--help"])
        assert found.exit_code == 0
        assert f"train {command}" in found.output
    found = CliRunner().invoke(app, ["train", "--help"])
    assert "--data" in found.output
    assert "train select" in found.output


@pytest.mark.parametrize("arguments", [["nothing", "--data", "."], ["--data", ".", "nothing"]])
def test_a_recipe_is_meant_where_no_command_is_named(arguments: list[str]) -> None:
    found = CliRunner().invoke(app, ["train", *arguments])
    assert found.exit_code == 1
    assert "no such recipe" in found.stderr
