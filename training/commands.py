"""What `overtone train` does."""

from pathlib import Path
from typing import cast

from rich.console import Console

from overtone.models import choose_device, load, save
from overtone.training import curves, record, weights
from overtone.training.data import ordered_loader, split
from overtone.training.datasets import Data, open_data
from overtone.training.distributed import joined, own_device
from overtone.training.finish import accuracy_of, finish
from overtone.training.inputs import Inputs
from overtone.training.predict import predict
from overtone.training.recipe import Recipe, RecipeError, load_recipe, validated
from overtone.training.score import score
from overtone.training.systems import CascadeSystem, System
from overtone.training.trainer import Batches, Trainer

GO_ON = "interrupted; the same command with --resume goes on after the last finished epoch"


def train(
    recipe: str,
    data: str | Path,
    out: Path | None = None,
    *,
    size: int | None = None,
    epochs: tuple[int, ...] | None = None,
    start: str | None = None,
    seed: int | None = None,
    resume: bool = False,
    workers: int = 1,
    device: str = "auto",
) -> Path:
    """Train by a recipe, choose on the calibration part, report on `val`; the file of the trained weights.

    A cascade becomes a checkpoint with a card, any other network weights with their recipe. Both leave a
    `run.json` beside them.

    Raises:
        RecipeError: the run's folder is a file, or already holds a run and `resume` is not set.
    """
    chosen = changed(load_recipe(recipe), size, epochs, start, seed)
    folder = out or Path("runs") / chosen.name
    if folder.exists() and not folder.is_dir():
        raise RecipeError(f"{folder}: a file; a run takes a folder")
    if (folder / "last.safetensors").exists() and not resume:
        raise RecipeError(f"{folder} already holds a run: add --resume to go on, or choose another --out")
    found, on = open_data(data), own_device(choose_device(device))
    training, calibration = split(found.train)
    with joined(on) as ranks:
        trainer = Trainer(chosen, training, calibration, folder, on, workers, ranks)
        try:
            system = trainer.run()
        except KeyboardInterrupt:
            raise KeyboardInterrupt(GO_ON) from None
        finally:
            if ranks.leads:
                curves.draw(folder)
    path = folder / f"{chosen.name}.safetensors"
    if ranks.leads:
        if isinstance(system, CascadeSystem):
            finish(chosen, system.module.eval(), training, calibration, path, found.name, workers)
            results = certify(path, found, workers=workers, device=str(on))
        else:
            weights.save(path, system, chosen, training.classes)
            results = report(system, chosen, found, Inputs(system.channels, chosen.quality, on))
        command = _command(recipe, found.name, size=size, epochs=epochs, start=start, seed=seed)
        counts = len(training), len(calibration)
        record.write(folder, chosen, command, found.name, counts, len(training.classes), on, results)
    return path


def numbers(text: str | None, option: str, what: str) -> tuple[int, ...] | None:
    """Numbers from 1 up, with commas or spaces between them.

    Raises:
        RecipeError: not such numbers; `option` says `what` it takes.
    """
    if text is None:
        return None
    words = text.replace(",", " ").split()
    if not words or not all(word.isdecimal() and int(word) for word in words):
        raise RecipeError(f"{option} {text}: give {what}")
    return tuple(map(int, words))


def changed(
    recipe: Recipe, size: int | None, epochs: tuple[int, ...] | None, start: str | None, seed: int | None
) -> Recipe:
    """The recipe with what the command line says instead; one number of epochs goes for every step."""
    changes: dict[str, object] = {}
    if size is not None:
        changes |= {"size": size, "progressive": ()}
    if epochs:
        changes["epochs"] = epochs * recipe.network.steps if len(epochs) == 1 else epochs
    if start:
        changes["start"] = start
    if seed is not None:
        changes["seed"] = seed
    return validated(recipe.model_dump() | changes, recipe.name)


def certify(checkpoint: Path, data: Data, *, workers: int = 0, device: str = "auto") -> list[record.Json]:
    """Measure `val` at every quality; what the default one reaches goes into the card."""
    if data.val is None:
        return []
    model, card = load(checkpoint, choose_device(device))
    found = {q: predict(model, data.val, card.profile, q, workers) for q in card.profile.qualities}
    quality, threshold, name = card.profile.quality, card.threshold(), f"{data.name}/val"
    line = accuracy_of(found[quality], card.temperature, threshold, quality, name)
    card = card.model_copy(update={"accuracy": (line,)})
    save(checkpoint, model, card)
    Console().print(
        f"{line.data}: low {line.low:.2%}, both {line.both:.2%}, cascade {line.cascade:.2%} "
        f"at {line.mean_bytes:.0f} bytes"
    )
    return [record.cascade_result(p, card, q, name) for q, p in found.items()]


def report(system: System, recipe: Recipe, data: Data, inputs: Inputs) -> list[record.Json]:
    """Measure a single network on `val` at every quantiser step; pictures in RGB are not quantised."""
    if data.val is None:
        return []
    steps = (None,) if system.channels is None else recipe.quality.steps
    results = []
    for step in steps:
        batches = cast(Batches, ordered_loader(data.val, recipe.size, view=recipe.view))
        found = score(system, 0, inputs, batches, step or 1)
        results.append(record.single_result(found, step, f"{data.name}/val"))
        at = "" if step is None else f" at step {step}"
        Console().print(f"{data.name}/val: top-1 {found.top1:.2%}, top-5 {found.top5:.2%}{at}")
    return results


def _command(recipe: str, data: str, **options: object) -> str:
    """The command line that makes the same run, wherever the data are."""
    words = ["overtone train", recipe, "--data", data]
    for name, value in options.items():
        if value is not None:
            listed = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            words.append(f"--{name} {listed}")
    return " ".join(words)
