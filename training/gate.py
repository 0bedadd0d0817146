"""The sweep over the gate's lambda, which was never published: a run, heat maps and a picture for each."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console

from overtone.models import choose_device
from overtone.training import commands, weights
from overtone.training.data import split
from overtone.training.datasets import Data, open_data
from overtone.training.draw_gate import draw, draw_sweep
from overtone.training.heatmap import HeatMap, HeatMapError, measure
from overtone.training.recipe import RECIPES, Recipe, RecipeError, load_recipe

# Named for what they were counted on: sets are chosen on one, so that the other is left for reporting.
CALIBRATION, VAL = "heatmap-calibration.json", "heatmap.json"


def sweep(
    recipe: str,
    data: str | Path,
    costs: Sequence[float],
    out: Path = Path("runs/gate"),
    *,
    epochs: int | None = None,
    seed: int | None = None,
    workers: int = 1,
    device: str = "auto",
) -> list[HeatMap]:
    """Train the gate's recipe once for each lambda in `costs`, in `out`/LAMBDA, and draw `out`/gate.png.

    What is done is skipped, and what was interrupted goes on. The pictures are of `val`, or of the
    calibration part where there is no `val`.

    Raises:
        RecipeError: not a recipe of a gate.
        HeatMapError: no lambda, one below 0, or one that was trained with another recipe before.
    """
    if not costs:
        raise HeatMapError("give at least one --cost")
    if min(costs) < 0:
        raise HeatMapError(f"--cost {min(costs):g}: what a channel costs cannot be below 0")
    found, on, drawn = open_data(data), choose_device(device), []
    for cost in sorted(set(costs)):
        folder = out / f"{cost:g}"
        wanted = _write_recipe(recipe, cost, folder, epochs, seed)
        if not _done(folder, load_recipe(str(wanted))):
            Console().rule(f"lambda {cost:g}")
            path = _train(wanted, data, folder, workers, device)
            _measure(path, found, folder, on, _command(recipe, found.name, cost, epochs, seed))
        drawn.append(HeatMap.read(folder / (CALIBRATION if found.val is None else VAL)))
        draw(drawn[-1], folder / "heatmap.png")
        Console().print(_line(drawn[-1]), soft_wrap=True)
    draw_sweep(drawn, out / "gate.png")
    return drawn


def _train(recipe: Path, data: str | Path, folder: Path, workers: int, device: str) -> Path:
    """Train, or go on with what was interrupted; the weights' path."""
    resume = (folder / "last.safetensors").exists()
    try:
        return commands.train(str(recipe), data, folder, resume=resume, workers=workers, device=device)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted; the same command goes on from here") from None


def _write_recipe(recipe: str, cost: float, folder: Path, epochs: int | None, seed: int | None) -> Path:
    """The recipe with this lambda, in the run's folder; on top of `recipe`, wherever that is."""
    if load_recipe(recipe).network.kind != "gate":
        raise RecipeError(f"{recipe}: has no gate; give a recipe whose network is of kind gate")
    base = Path(recipe) if recipe.endswith(".toml") else RECIPES / f"{recipe}.toml"
    folder.mkdir(parents=True, exist_ok=True)
    extends = os.path.relpath(base.with_suffix("").resolve(), folder.resolve())
    lines = [f"name = {json.dumps(f'gate-{cost:g}')}", f"extends = {json.dumps(extends)}"]
    lines += [] if epochs is None else [f"epochs = [{epochs}]"]
    lines += [] if seed is None else [f"seed = {seed}"]
    path = folder / "recipe.toml"
    path.write_text("\n".join([*lines, "", "[network]", f"cost = {cost}"]) + "\n", "utf-8")
    return path


def _done(folder: Path, recipe: Recipe) -> bool:
    """Whether the run is trained and measured.

    Raises:
        HeatMapError: it is, but by another recipe.
    """
    path = folder / f"{recipe.name}.safetensors"
    if not (path.exists() and (folder / CALIBRATION).exists()):
        return False
    if weights.load(path).recipe != recipe:
        raise HeatMapError(f"{folder} holds a run of another recipe; choose another --out")
    return True


def _measure(path: Path, data: Data, folder: Path, device: torch.device, command: str) -> None:
    """Heat maps of `val` and of the calibration part, beside the weights and in the run's record."""
    trained, calibration = weights.load(path), split(data.train)[1]
    heatmaps = [] if data.val is None else [measure(trained, data.val, f"{data.name}/val", device)]
    heatmaps.append(measure(trained, calibration, f"{data.name}/calibration", device))
    record = folder / "run.json"
    run = json.loads(record.read_text("utf-8")) | {"command": command}
    run["heatmaps"] = [heatmap.model_dump(mode="json") for heatmap in heatmaps]
    record.write_text(json.dumps(run, indent=1) + "\n", "utf-8")
    # The last one written says that all is done.
    for heatmap, name in zip(heatmaps, (VAL, CALIBRATION)[-len(heatmaps) :], strict=True):
        heatmap.write(folder / name)


def _command(recipe: str, data: str, cost: float, epochs: int | None, seed: int | None) -> str:
    """The command line of this run alone."""
    words = ["overtone train gate --recipe", recipe, "--data", data, f"--cost {cost:g}"]
    words += [f"--{key} {value}" for key, value in (("epochs", epochs), ("seed", seed)) if value is not None]
    return " ".join(words)


def _line(heatmap: HeatMap) -> str:
    return (
        f"lambda {heatmap.cost:g}: {heatmap.mean_open:.1f} channels open, top-1 {heatmap.top1:.2%}, "
        f"on {heatmap.n} pictures of {heatmap.data}"
    )
