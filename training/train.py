"""`overtone train RECIPE`: train, calibrate, report, and write the run's files."""

from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console

from overtone.models import choose_device, load, save
from overtone.training import run_record, weights
from overtone.training.data import DataSet, open_data, ordered_loader, split
from overtone.training.evaluation.predictions import predict_each
from overtone.training.export import accuracy_of, export
from overtone.training.inputs import Inputs
from overtone.training.recipe import Recipe, RecipeError
from overtone.training.run_log import Epoch
from overtone.training.score import score
from overtone.training.systems import CascadeSystem, SingleSystem
from overtone.training.trainer import Trainer


def train(
    recipe: Recipe,
    data: str | Path,
    out: Path | None = None,
    *,
    resume: bool = False,
    workers: int = 1,
    device: str = "auto",
    on_epoch: Callable[[Epoch], object] = lambda line: None,
) -> Path:
    """Train, choose on the calibration split, and report on `val`; returns the file of the trained weights.

    A cascade becomes a checkpoint with a card, any other network becomes weights with their recipe. Both get a
    `run.json` beside them.

    Raises:
        RecipeError: the run's folder is a file, or holds a run and `resume` is not set.
    """
    folder = out or Path("runs") / recipe.name
    check_folder(folder, resume)
    found, on = open_data(data), choose_device(device)
    training, calibration = split(found.train)
    path = folder / f"{recipe.name}.safetensors"
    try:
        system = Trainer(recipe, training, calibration, folder, on, workers, on_epoch).run()
    except KeyboardInterrupt:
        raise interrupted(resume) from None
    if isinstance(system, CascadeSystem):
        origin = recipe.network.origin(recipe.start)
        model = system.module.eval()
        export(recipe, model, training, calibration, path, found.name, workers, origin=origin)
        results = report_cascade(path, found, workers, device=str(on))
    else:
        weights.save(path, system, recipe, training.classes)
        results = report_single(system, recipe, found, on)
    counts = len(training), len(calibration)
    run_record.write(folder, recipe, found.name, counts, len(training.classes), on, results)
    return path


def check_folder(folder: Path, resume: bool) -> None:
    """Refuse a folder that a run cannot use.

    Raises:
        RecipeError: it is a file, or holds a run and `resume` is not set.
    """
    if folder.exists() and not folder.is_dir():
        raise RecipeError(f"{folder}: a file; a run takes a folder")
    if (folder / "last.safetensors").exists() and not resume:
        raise RecipeError(
            f"{folder} already holds a run: add --resume to continue it, or choose another --out"
        )


def interrupted(resume: bool) -> KeyboardInterrupt:
    """The exception whose message tells how to continue; `resume` if --resume was given already."""
    how = "" if resume else " with --resume"
    return KeyboardInterrupt(f"interrupted; the same command{how} continues after the last finished epoch")


def numbers(text: str | None, option: str, what: str, least: int = 1) -> tuple[int, ...] | None:
    """Integers of at least `least`, separated by commas or spaces.

    Raises:
        RecipeError: not such numbers; the message names the `option` and `what` it takes.
    """
    if text is None:
        return None
    words = text.replace(",", " ").split()
    if not words or not all(word.isdecimal() and int(word) >= least for word in words):
        raise RecipeError(f"{option} {text}: give {what}")
    return tuple(map(int, words))


def report_cascade(checkpoint: Path, data: DataSet, workers: int, device: str) -> list[run_record.Json]:
    """Measure `val` at every quality; the accuracy at the default quality goes into the card."""
    if data.val is None:
        return []
    model, card = load(checkpoint, choose_device(device))
    found = predict_each(model, data.val, card.profile, card.profile.qualities, workers)
    name = f"{data.name}/val"
    line = accuracy_of(found[card.profile.quality], card, name)
    card = card.model_copy(update={"accuracy": (line,)})
    save(checkpoint, model, card)
    each = ", ".join(f"{top1:.2%}" for top1 in line.top1)
    Console().print(
        f"{line.data}: {each} after each layer, cascade {line.cascade:.2%} at {line.mean_bytes:.0f} bytes"
    )
    return [run_record.cascade_result(p, card, q, name) for q, p in found.items()]


def report_single(
    system: SingleSystem, recipe: Recipe, data: DataSet, device: torch.device
) -> list[run_record.Json]:
    """Measure a single network on `val` at every quantiser step; RGB images are not quantised."""
    if data.val is None:
        return []
    inputs, results = Inputs(system.channels, recipe.quality, device), []
    steps = (None,) if system.channels is None else recipe.quality.steps
    for step in steps:
        batches = ordered_loader(data.val, recipe.size, view=recipe.view)
        found = score(system, 0, inputs, batches, step or 1)
        results.append({"data": f"{data.name}/val", "step": step} | found._asdict())
        at = "" if step is None else f" at step {step}"
        Console().print(f"{data.name}/val: top-1 {found.top1:.2%}, top-5 {found.top5:.2%}{at}")
    return results
