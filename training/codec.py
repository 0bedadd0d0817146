"""Tables of the entropy coder, fitted to training pictures: for a new checkpoint, or again for an old one.

    python -m overtone.training.codec imagenette --data DIR --out FILE

Low and high are coded without loss, so new tables change bytes and nothing else: weights, steps, temperature
and thresholds stay as they are, and so does every answer. Only what the card says of bytes has to be measured
again, so it is taken out.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from safetensors import safe_open
from safetensors.torch import save_file

from overtone.frequency import (
    Profile,
    Tables,
    coefficients,
    fit,
    open_rgb,
    prior_tables,
    quantise,
)
from overtone.frequency.quantise import PLAIN
from overtone.models import Card, find
from overtone.models.card import STALE
from overtone.models.checkpoint import CARD_KEY
from overtone.training.data import Pictures, part, split
from overtone.training.progress import tracked
from overtone.training.table_fitting import fit_tables

TABLES_ON = 600


def tables_for(
    pictures: Pictures,
    size: int,
    steps: Sequence[Sequence[int]],
    low: tuple[int, ...],
    high: tuple[int, ...],
    thresholds: Sequence[int] = (),
) -> Tables:
    """Tables for these channels, steps (a row a quality) and thresholds, counted on up to 600 pictures."""
    some = pictures.take(range(0, len(pictures), -(-len(pictures) // TABLES_ON)))
    samples = [np.empty((len(some), len(low + high), size // 8, size // 8), np.int16) for _ in steps]
    for number, path in enumerate(tracked(some.paths, "counting symbols")):
        found = coefficients(fit(open_rgb(path), size), low + high)
        for quality, (sample, row) in enumerate(zip(samples, steps, strict=True)):
            sample[number] = quantise(found, row, thresholds[quality] / 100 if thresholds else PLAIN)
    middle = len(low)
    return fit_tables([(s[:, :middle], s[:, middle:]) for s in samples], steps, low, high)


def refit(checkpoint: str, data: Path, out: Path) -> Profile:
    """Write a checkpoint again with tables fitted to its training pictures; the profile it has then.

    Tables of an older version of the codec are replaced unread, so this is also how such a checkpoint is
    brought up to date. The calibration part of `train/` is left out, as in training.
    """
    path = find(checkpoint)
    with safe_open(path, "pt") as file:
        card: dict[str, Any] = json.loads((file.metadata() or {})[CARD_KEY])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    old = _without_tables(card["profile"])
    train, _ = split(part(data, "train", card["classes"], old.labels))
    tables = tables_for(train, old.size, old.steps, old.low, old.high, old.thresholds)
    profile = replace(old, tables=tables)
    card = _without_bytes(card) | {"profile": profile.to_json()}
    _write(out, tensors, Card.model_validate(card, context={STALE: True}))
    return profile


def _without_tables(text: str) -> Profile:
    """A profile of any version of the codec, with made-up tables."""
    parsed = json.loads(text)
    made_up = prior_tables((*parsed["low"], *parsed["high"]), len(parsed["qualities"]))
    return Profile.from_json(json.dumps(parsed | {"tables": made_up.to_json()}))


def _without_bytes(card: dict[str, Any]) -> dict[str, Any]:
    points = [point | {"mean_bytes": None} for point in card["operating_points"]]
    return card | {"operating_points": points, "accuracy": []}


def _write(out: Path, tensors: dict[str, Any], card: Card) -> None:
    temporary = out.with_suffix(".part")
    save_file(tensors, temporary, {CARD_KEY: card.to_json()})
    temporary.chmod(0o644)
    temporary.replace(out)


def main(
    checkpoint: Annotated[str, typer.Argument(help="A file or the name of a bundled checkpoint.")],
    data: Annotated[Path, typer.Option(envvar="OVERTONE_DATA", help="The folder it was trained on.")],
    out: Annotated[Path, typer.Option(help="Where to write the new checkpoint.")],
) -> None:
    """Fit the tables of a checkpoint's entropy coder again."""
    profile = refit(checkpoint, data, out)
    print(f"wrote {out}: profile {profile.id.hex()}, {len(profile.pack())} bytes packed")


if __name__ == "__main__":
    typer.run(main)
