"""`run.json`: the record of a finished run, for tables of results."""

import json
import os
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from overtone.models import Card
from overtone.processor import processor_name
from overtone.training.evaluation.metrics import measure
from overtone.training.evaluation.predictions import Predictions
from overtone.training.evaluation.stopping import Rule
from overtone.training.recipe import Recipe
from overtone.training.run_log import read_epochs

Json = dict[str, Any]


def write(
    folder: Path,
    recipe: Recipe,
    data: str,
    counts: tuple[int, int],
    classes: int,
    device: torch.device,
    results: list[Json],
) -> None:
    """Write `folder`/run.json; `counts` are the numbers of images for training and for calibration."""
    epochs = [asdict(line) for line in read_epochs(folder / "log.jsonl")]
    run = {
        "name": recipe.name,
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "recipe": recipe.model_dump(mode="json"),
        "data": data,
        "images": counts[0],
        "calibration_images": counts[1],
        "seed": recipe.seed,
        "torch": torch.__version__,
        "machine": machine(device),
        "seconds": sum(line["seconds"] for line in epochs),
        "cost": asdict(recipe.network.cost_at(classes, recipe.size)) | {"size": recipe.size},
        "epochs": epochs,
        "results": results,
    }
    temporary = folder / "run.part"
    temporary.write_text(json.dumps(run, indent=1) + "\n", "utf-8")
    temporary.replace(folder / "run.json")


def machine(device: torch.device) -> Json:
    """The machine of the run: processor, cores and device."""
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "processor": processor_name(),
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    }


def cascade_result(found: Predictions, card: Card, quality: int, data: str) -> Json:
    """The entry of a cascade at one quality, at its default operating point."""
    at = asdict(measure(found, card, quality, Rule.of(card.point(quality=quality))))
    kept = ("n", "quality", "step", "threshold", "low", "both", "cascade", "exit_share", "layers")
    return {"data": data, "default": quality == card.profile.quality} | {name: at[name] for name in kept}
