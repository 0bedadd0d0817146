"""What `overtone evaluate` prints for a single network: accuracy at every quantiser step, and cost."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from safetensors import SafetensorError, safe_open

from overtone.models import Cost
from overtone.training import table, weights
from overtone.training.data import Pictures, ordered_loader
from overtone.training.inputs import Inputs
from overtone.training.parts import read_part
from overtone.training.progress import tracked
from overtone.training.recipe import Recipe
from overtone.training.score import Score, score
from overtone.training.systems import cost_of

# By quantiser step; None is for RGB pictures.
Scores = dict[int | None, Score]


def is_single(path: Path) -> bool:
    """Whether a file holds a network with its recipe and no card; a damaged one is for who loads it."""
    try:
        with safe_open(path, "pt") as file:
            keys = (file.metadata() or {}).keys()
    except (SafetensorError, OSError):
        return False
    return "recipe" in keys and "card" not in keys


def evaluate_single(
    path: Path, data: Path, split_name: str, as_json: bool, workers: int, device: torch.device
) -> None:
    """Print a single network's accuracy on a folder, at every quantiser step it was trained for.

    Raises:
        ValueError: not a network that `overtone train` wrote; no such folder.
    """
    trained = weights.load(path)
    labels = tuple(trained.recipe.labels.get(c, c) for c in trained.classes)
    pictures = read_part(data, split_name, trained.classes, labels)
    scores, cost = measure_single(trained, pictures, workers, device), cost_of(trained.recipe, len(labels))
    if as_json:
        print(json.dumps(document(trained.recipe, len(pictures), scores, cost)))
    else:
        what = f"{trained.recipe.name} on {data.name}/{split_name}"
        title = f"{what}: {len(pictures)} pictures, {trained.recipe.size} px"
        Console().print(table.single_table(title, scores, cost))


def measure_single(
    trained: weights.Trained, pictures: Pictures, workers: int, device: torch.device
) -> Scores:
    """A network at each of its recipe's steps; once for RGB pictures, which are not quantised."""
    recipe, system = trained.recipe, trained.system
    system.module.to(device)
    inputs = Inputs(system.channels, recipe.quality, device)
    steps: Sequence[int | None] = (None,) if system.channels is None else recipe.quality.steps
    scores = {}
    for step in steps:
        batches = ordered_loader(pictures, recipe.size, workers=workers, view=recipe.view)
        shown = tracked(batches, "pictures" if step is None else f"step {step}", len(batches))
        scores[step] = score(system, 0, inputs, shown, step or 1)
    return scores


def document(recipe: Recipe, n: int, scores: Scores, cost: Cost) -> dict[str, object]:
    """The JSON object: accuracy at the middle step at the top, and at every step below."""
    entries = [{"step": step, "top1": found.top1, "top5": found.top5} for step, found in scores.items()]
    head: dict[str, object] = {"checkpoint": recipe.name, "n": n, "size": recipe.size}
    counted = {"parameters": cost.parameters, "macs": cost.macs}
    return head | entries[len(entries) // 2] | {"cost": counted, "steps": entries}
