"""What `overtone train` does."""

from pathlib import Path

from rich.console import Console

from models import Card, choose_device, load, save
from training.data import part, split
from training.finish import accuracy_of, finish
from training.predict import predict
from training.recipe import Recipe, RecipeError, load_recipe
from training.trainer import Trainer


def train(
    recipe: str,
    data: Path,
    out: Path | None = None,
    *,
    size: int | None = None,
    epochs: tuple[int, int] | None = None,
    start: str | None = None,
    resume: bool = False,
    workers: int = 1,
    device: str = "auto",
) -> Path:
    """Train by a recipe, choose on the calibration part, report on `val`; the checkpoint's path.

    Raises:
        RecipeError: the run's folder already holds a run and `resume` is not set.
    """
    chosen = _changed(load_recipe(recipe), size, epochs, start)
    folder = out or Path("runs") / chosen.name
    if (folder / "last.safetensors").exists() and not resume:
        raise RecipeError(f"{folder} already holds a run: add --resume to go on, or choose another --out")
    training, calibration = split(part(data, "train"))
    trainer = Trainer(chosen, training, calibration, folder, choose_device(device), workers)
    model = trainer.run().eval()
    checkpoint = folder / f"{chosen.name}.safetensors"
    finish(chosen, model, training, calibration, checkpoint, data.name, workers)
    if (data / "val").is_dir():
        certify(checkpoint, data, workers=workers, device=device)
    return checkpoint


def _changed(recipe: Recipe, size: int | None, epochs: tuple[int, int] | None, start: str | None) -> Recipe:
    changes: dict[str, object] = {}
    if size:
        changes |= {"size": size, "progressive": ()}
    if epochs:
        changes["epochs"] = epochs
    if start:
        changes["start"] = start
    return Recipe.model_validate(recipe.model_dump() | changes)


def certify(checkpoint: Path, data: Path, *, workers: int = 0, device: str = "auto") -> Card:
    """Measure `val` at the default quality and operating point, and write the result into the card."""
    model, card = load(checkpoint, choose_device(device))
    pictures = part(data, "val", card.classes, card.profile.labels)
    quality, threshold = card.profile.quality, card.threshold()
    found = predict(model, pictures, card.profile, quality, workers)
    line = accuracy_of(found, card.temperature, threshold, quality, f"{data.name}/val")
    card = card.model_copy(update={"accuracy": (line,)})
    save(checkpoint, model, card)
    Console().print(
        f"{line.data}: low {line.low:.2%}, both {line.both:.2%}, cascade {line.cascade:.2%} "
        f"at {line.mean_bytes:.0f} bytes"
    )
    return card
