"""What `overtone train` and `overtone evaluate` do."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from models import Card, Cascade, choose_device, find, load, save
from training.calibrate import Modes, modes
from training.data import Pictures, part, split
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
    resume: bool = False,
    workers: int = 1,
    device: str = "auto",
) -> Path:
    """Train by a recipe, choose on the calibration part, report on `val`; the checkpoint's path.

    Raises:
        RecipeError: the run's folder already holds a run and `resume` is not set.
    """
    chosen = _changed(load_recipe(recipe), size, epochs)
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


def _changed(recipe: Recipe, size: int | None, epochs: tuple[int, int] | None) -> Recipe:
    changes: dict[str, object] = {}
    if size:
        changes |= {"size": size, "progressive": ()}
    if epochs:
        changes["epochs"] = epochs
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


def evaluate(
    checkpoint: str,
    data: Path,
    *,
    qualities: Sequence[int] = (),
    every_quality: bool = False,
    threshold: float | None = None,
    operating_point: str | None = None,
    split_name: str = "val",
    as_json: bool = False,
    workers: int = 0,
    device: str = "auto",
) -> None:
    """Top-1 in the three modes and counted payload bytes, for one quality or several."""
    model, card = load(find(checkpoint), choose_device(device))
    pictures = _pictures(card, data, split_name)
    chosen = card.threshold(operating_point) if threshold is None else threshold
    asked = card.profile.qualities if every_quality else qualities or (card.profile.quality,)
    rows = {q: _row(model, card, pictures, q, chosen, workers) for q in asked}
    if as_json:
        _print_json(card, len(pictures), chosen, rows)
    else:
        _print_table(card, f"{data.name}/{split_name}", len(pictures), chosen, rows)


def _pictures(card: Card, data: Path, split_name: str) -> Pictures:
    if split_name == "calibration":
        return split(part(data, "train", card.classes, card.profile.labels))[1]
    return part(data, split_name, card.classes, card.profile.labels)


Row = tuple[Modes, float, float]


def _row(model: Cascade, card: Card, pictures: Pictures, quality: int, threshold: float, workers: int) -> Row:
    found = predict(model, pictures, card.profile, quality, workers)
    return (
        modes(found, card.temperature, threshold),
        float(found.low_bytes.mean()),
        float(found.high_bytes.mean()),
    )


def _print_json(card: Card, n: int, threshold: float, rows: dict[int, Row]) -> None:
    def entry(quality: int) -> dict[str, object]:
        found, low_bytes, high_bytes = rows[quality]
        return {
            "quality": quality,
            "low": {"top1": found.low, "mean_payload_bytes": low_bytes},
            "both": {"top1": found.both, "mean_payload_bytes": low_bytes + high_bytes},
            "cascade": {
                "top1": found.cascade,
                "exit_share": found.exit_share,
                "mean_payload_bytes": found.mean_bytes,
            },
        }

    first = next(iter(rows))
    head = {"checkpoint": card.name, "n": n, "size": card.profile.size, "threshold": threshold}
    more = {"qualities": [entry(q) for q in rows]} if len(rows) > 1 else {}
    print(json.dumps(head | entry(first) | {"cost": _costs(card)} | more))


def _costs(card: Card) -> dict[str, int]:
    """The card's cost as plain numbers."""
    return {str(k): int(v) for k, v in card.cost.model_dump().items()}


def _print_table(card: Card, name: str, n: int, threshold: float, rows: dict[int, Row]) -> None:
    title = f"{card.name} on {name}: {n} pictures, {card.profile.size} px, threshold {threshold:.3f}"
    table = Table(title=title, caption="bytes are mean payload bytes per picture, as encoded")
    for column in ("quality", "step", "low", "bytes", "both", "bytes", "cascade", "bytes", "answered low"):
        table.add_column(column, justify="right")
    for quality, (found, low_bytes, high_bytes) in rows.items():
        table.add_row(
            str(quality),
            str(int(card.profile.low_steps(quality)[0])),
            f"{found.low:.2%}",
            f"{low_bytes:.0f}",
            f"{found.both:.2%}",
            f"{low_bytes + high_bytes:.0f}",
            f"{found.cascade:.2%}",
            f"{found.mean_bytes:.0f}",
            f"{found.exit_share:.1%}",
        )
    Console().print(table)
