"""`run.json`: everything about a finished run that a table of results may ask for."""

import json
import os
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from overtone.models import Card
from overtone.training.measure import measure
from overtone.training.predict import Predictions
from overtone.training.recipe import Recipe
from overtone.training.runlog import epochs_of
from overtone.training.score import Score
from overtone.training.systems import cost_of

Json = dict[str, Any]


def write(
    folder: Path,
    recipe: Recipe,
    command: str,
    data: str,
    counts: tuple[int, int],
    classes: int,
    device: torch.device,
    results: list[Json],
) -> None:
    """Write `folder`/run.json; `counts` are the pictures trained on and those held out for calibration."""
    log = folder / "log.jsonl"
    epochs = [asdict(line) for line in epochs_of(log)] if log.exists() else []
    cost = cost_of(recipe, classes)
    run = {
        "name": recipe.name,
        "command": command,
        "recipe": recipe.model_dump(mode="json"),
        "data": data,
        "images": counts[0],
        "calibration_images": counts[1],
        "seed": recipe.seed,
        "torch": torch.__version__,
        "machine": machine(device),
        "seconds": sum(line["seconds"] for line in epochs),
        "cost": asdict(cost) | {"size": recipe.size},
        "epochs": epochs,
        "results": results,
    }
    temporary = folder / "run.part"
    temporary.write_text(json.dumps(run, indent=1) + "\n", "utf-8")
    temporary.replace(folder / "run.json")


def machine(device: torch.device) -> Json:
    """What the run ran on."""
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "processor": _processor(),
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = info.read_text("utf-8").splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in names if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def cascade_result(found: Predictions, card: Card, quality: int, data: str) -> Json:
    """A cascade's entry for predictions on reported data, at the threshold of its default operating point."""
    at = measure(found, card, quality, card.threshold(quality=quality))
    modes = {
        name: {"top1": mode.top1, "top5": mode.top5}
        for name, mode in (("low", at.low), ("both", at.both), ("cascade", at.cascade))
    }
    return {
        "data": data,
        "n": at.n,
        "quality": quality,
        "step": at.step,
        "threshold": at.threshold,
        **modes,
        "exit_share": at.exit_share,
        "low_bytes": at.low.mean_bytes,
        "high_bytes": at.both.mean_bytes - at.low.mean_bytes,
        "mean_bytes": at.cascade.mean_bytes,
        "default": quality == card.profile.quality,
    }


def single_result(found: Score, step: int | None, data: str) -> Json:
    """A single network's entry at one quantiser step; None for RGB."""
    return {"data": data, "n": found.n, "step": step, "top1": found.top1, "top5": found.top5}
