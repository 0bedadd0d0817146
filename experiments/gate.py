"""Train a channel gate for several lambdas, whose value was never published, and draw which channels it opens.

    python -m experiments.gate --data DIR --cost 0.3 --cost 0.8 --cost 2

How often each channel is open over a set of images is the heat map of Xu et al. (CVPR 2020), section 3.3.
"""

import json
from pathlib import Path
from typing import Annotated

import torch
import typer
from pydantic import BaseModel, ConfigDict, Field

from experiments.networks import GatedSystem
from experiments.recipe_files import load
from overtone import command
from overtone.frequency.channels import COUNT
from overtone.models import choose_device
from overtone.training.data import Images, open_data, ordered_loader, split
from overtone.training.inputs import Inputs
from overtone.training.progress import tracked
from overtone.training.recipe import Recipe, RecipeError
from overtone.training.systems import autocast
from overtone.training.train import train
from overtone.training.weights import Trained
from overtone.training.weights import load as load_weights


class HeatMap(BaseModel):
    """The share of `n` images of `data` for which the gate opens each of the 192 channels.

    `cost` is the run's lambda; top-1 is a fraction, of the gated network on the same images.
    """

    model_config = ConfigDict(frozen=True, serialize_by_alias=True, validate_by_name=True)

    cost: float = Field(validation_alias="lambda", serialization_alias="lambda")
    n: int
    data: str
    size: int
    step: int
    top1: float
    mean_open: float
    open: tuple[float, ...] = Field(min_length=COUNT, max_length=COUNT)


def read_heat_maps(record: Path) -> tuple[HeatMap, ...]:
    """The heat maps in a run.json, of `val` and of the calibration split; none if it is missing or has none."""
    run = json.loads(record.read_text("utf-8")) if record.is_file() else {}
    return tuple(HeatMap.model_validate(each) for each in run.get("heatmaps", ()))


@torch.inference_mode()
def count_open(trained: Trained, images: Images, data: str, device: torch.device) -> HeatMap:
    """Count the open channels over the images of `data`, at the finest quantiser step; no label is used."""
    system, recipe = trained.system, trained.recipe
    assert isinstance(system, GatedSystem)
    system.module.to(device).eval()
    inputs, step = Inputs(system.channels, recipe.quality, device), min(recipe.quality.steps)
    opened, correct = torch.zeros(COUNT, dtype=torch.int64), 0
    norm = system.module.get_submodule("norm")
    for rgb, target in tracked(ordered_loader(images, recipe.size), "heat map"):
        x = norm(inputs.at(rgb, step))
        opened += system.network.gate(x).sum(dim=0).long().cpu()
        with autocast(device):
            correct += int((system.network(x).argmax(1).cpu() == target).sum())
    n = len(images)
    return HeatMap(
        cost=system.cost,
        n=n,
        data=data,
        size=recipe.size,
        step=step,
        top1=correct / n,
        mean_open=int(opened.sum()) / n,
        open=tuple((opened / n).tolist()),
    )


def sweep(
    recipe: Recipe, data: str, costs: list[float], out: Path, *, workers: int = 1, device: str = "auto"
) -> list[HeatMap]:
    """Train the recipe once per lambda, in `out`/LAMBDA, and draw `out`/gate.png.

    Finished runs are skipped, and interrupted ones are resumed. The figure shows `val`, or the calibration split
    if there is no `val`. Channel sets are chosen on the calibration split, so that `val` is only reported.

    Raises:
        RecipeError: not a recipe of a gate, or a lambda below 0.
    """
    from experiments.gate_plot import draw_sweep

    if recipe.network.kind != "gate":
        raise RecipeError(f"{recipe.name}: has no gate; give a recipe whose network is of kind gate")
    drawn = []
    for cost in sorted(set(costs)):
        record = out / f"{cost:g}" / "run.json"
        if not read_heat_maps(record):
            network = recipe.network.model_dump() | {"cost": cost}
            chosen = recipe.changed(name=f"gate-{cost:g}", network=network)
            path = train(chosen, data, record.parent, resume=True, workers=workers, device=device)
            found, trained, on = open_data(data), load_weights(path), choose_device(device)
            calibration = split(found.train)[1]
            splits = {"val": found.val or calibration, "calibration": calibration}
            made = [
                count_open(trained, images, f"{found.name}/{name}", on) for name, images in splits.items()
            ]
            run = json.loads(record.read_text("utf-8"))
            run["heatmaps"] = [heat_map.model_dump(mode="json") for heat_map in made]
            record.write_text(json.dumps(run, indent=1) + "\n", "utf-8")
        drawn.append(read_heat_maps(record)[0])
    draw_sweep(drawn, out / "gate.png")
    return drawn


@command.reporting("experiments.gate", "train")
def main(
    data: Annotated[str, typer.Option(envvar="OVERTONE_DATA", help="Folder or name of a data set.")],
    cost: Annotated[list[float], typer.Option(help="What all channels open add to the loss; repeat it.")],
    recipe: Annotated[str, typer.Option(help="A recipe whose network is of kind gate.")] = "gate-sweep",
    out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs/gate"),
    workers: command.Workers = 1,
    device: command.Device = "auto",
) -> None:
    """Train a channel gate once per cost, and draw which channels it opens; resumes where it stopped."""
    for heat_map in sweep(load(recipe), data, cost, out, workers=workers, device=device):
        print(f"lambda {heat_map.cost:g}: {heat_map.mean_open:.1f} open, top-1 {heat_map.top1:.2%}")


if __name__ == "__main__":
    typer.run(main)
