"""A gate trained for an instant: its heat maps, the channels chosen from them, and the figure."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from typer.testing import CliRunner

from experiments import select as select_command
from experiments.gate import HeatMap, count_open, read_heat_maps, sweep
from experiments.gate_plot import draw_component
from experiments.networks import Gate, GatedSystem, ResNet50
from experiments.select import SelectError, select, shared, to_toml
from overtone.frequency.channels import COUNT, SETS
from overtone.training.data import read_split
from overtone.training.recipe import RecipeError, load_recipe
from overtone.training.resume import ResumeError
from overtone.training.weights import Trained
from tests.training.runs import BASELINE, CPU, LAYERS, recipe

GATE = recipe(Gate(cost=1.0, width=1 / 16, layers=LAYERS), (1,))


def heat_map(**shares: float) -> HeatMap:
    """All channels closed but `c12=0.5`, ..."""
    opened = [0.0] * COUNT
    for name, share in shares.items():
        opened[int(name[1:])] = share
    mean = sum(opened)
    return HeatMap(
        cost=0.5, n=10, data="images/val", size=64, step=4, top1=0.5, mean_open=mean, open=tuple(opened)
    )


def test_open_channels_are_counted(images: Path) -> None:
    """With channels 3 and 70 closed and all others open; the gate sees normalised coefficients."""
    torch.manual_seed(0)
    system, seen = GATE.network.build(2), list[torch.Tensor]()
    assert isinstance(system, GatedSystem)
    system.normalise(torch.full((192,), 5.0), torch.full((192,), 2.0))
    system.network.gate.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    bias = system.network.gate.decide.bias
    assert bias is not None
    with torch.no_grad():
        bias.view(-1, 2)[[3, 70]] = torch.tensor([9.0, -9.0])
    trained = Trained(system, GATE, ("cold", "warm"))
    found = count_open(trained, read_split(images, "val"), "images/val", CPU)
    assert (found.n, found.cost, found.step, found.mean_open) == (6, 1, 32, 190)
    assert [i for i, share in enumerate(found.open) if share < 1] == [3, 70]
    steps = seen[0] * 2 + 5
    torch.testing.assert_close(steps, 32 * torch.round(steps / 32), atol=1e-3, rtol=0)
    assert HeatMap.model_validate_json(found.model_dump_json()) == found
    assert json.loads(found.model_dump_json())["lambda"] == 1


def test_a_sweep_trains_measures_draws_and_resumes(images: Path, tmp_path: Path) -> None:
    def run(costs: list[float], seed: int = 0) -> list[HeatMap]:
        return sweep(GATE.changed(seed=seed), str(images), costs, tmp_path, workers=0, device="cpu")

    (first,) = run([2.0])
    log = tmp_path / "2" / "log.jsonl"
    before = log.stat().st_mtime_ns
    both = run([2.0, 0.5])
    assert [h.cost for h in both] == [0.5, 2.0]
    assert both[1] == first
    assert log.stat().st_mtime_ns == before, "what is done is not trained again"
    record = tmp_path / "2" / "run.json"
    val, calibration = read_heat_maps(record)
    assert (val.data, calibration.data) == ("images/val", "images/calibration")
    run_record = json.loads(record.read_text())
    assert (run_record["name"], run_record["recipe"]["network"]["cost"]) == ("gate-2", 2)
    with Image.open(tmp_path / "gate.png") as drawn:
        assert min(drawn.size) > 500
    record.unlink()
    with pytest.raises(ResumeError, match="another recipe"):
        run([2.0], seed=5)


def test_only_gates_are_swept(images: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no gate"):
        sweep(recipe(BASELINE, (1,)), str(images), [1.0], tmp_path, workers=0, device="cpu")
    with pytest.raises(RecipeError, match="cost"):
        sweep(GATE, str(images), [-1.0], tmp_path, workers=0, device="cpu")


def test_cells_show_shares_and_indices_and_frame_the_papers_sets() -> None:
    axes, found = Figure().subplots(), heat_map(c130=0.4)
    draw_component(axes, found, 2)
    shown = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(shown, np.array(found.open[128:]).reshape(8, 8))
    assert [text.get_text() for text in axes.texts] == [str(i) for i in range(128, 192)]
    assert len(axes.patches) == sum(c >= 128 for c in SETS[24] + SETS[6])


def test_the_most_opened_channels_are_selected() -> None:
    assert select(heat_map(c130=0.4, c7=0.9, c64=0.8, c20=0.1), count=3) == (7, 64, 130)
    assert select(heat_map(), count=6) == (0, 1, 8, 64, 65, 128), "equal ones by frequency: Y, Cb, Cr at 0"
    assert select(heat_map(), count=COUNT) == tuple(range(COUNT))
    assert select(heat_map(c1=0.5, c2=0.49, c3=0.51), share=0.5) == (1, 3)
    assert select(heat_map(c1=0.5), share=0) == tuple(range(COUNT))
    assert shared((0, 2, 191)) == {6: 1, 24: 2, 32: 2, 48: 2, 64: 2}


@pytest.mark.parametrize(
    "options", [{}, {"count": 3, "share": 0.5}, {"count": 0}, {"count": 193}, {"share": 0.9}]
)
def test_choices_that_cannot_be(options: dict[str, float]) -> None:
    with pytest.raises(SelectError, match="give "):
        select(heat_map(c1=0.5), **options)  # type: ignore[arg-type]


def test_a_recipe_extends_a_selection(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shares = heat_map(**{f"c{c}": 0.9 for c in SETS[24]})
    (tmp_path / "run.json").write_text(json.dumps({"heatmaps": [shares.model_dump(mode="json")]}))
    select_command.main(tmp_path / "run.json", count=24)
    text = capsys.readouterr().out
    assert text == to_toml(SETS[24], shares)
    assert "6 of 6, 24 of 24" in text
    assert tuple(tomllib.loads(text)["network"]["input"]) == SETS[24]
    (tmp_path / "chosen.toml").write_text(text)
    (tmp_path / "mine.toml").write_text('extends = "chosen"\nsize = 64\nepochs = [1]\n')
    network = load_recipe(tmp_path / "mine.toml").network
    assert isinstance(network, ResNet50)
    assert network.channels == SETS[24]
    with pytest.raises(Exception, match="1"):
        select_command.main(tmp_path / "none.json", count=24)
    assert "no run with heat maps" in capsys.readouterr().err


def test_every_command_explains_itself() -> None:
    import typer

    from experiments import gate, sweep

    for module in (gate, select_command, sweep):
        app = typer.Typer()
        app.command()(module.main)
        assert "Usage" in CliRunner().invoke(app, ["--help"]).output
