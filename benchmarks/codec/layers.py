"""Cost of layers in bytes: `python -m overtone.benchmarks.codec.layers --data DIR`.

Bytes of each layer of a ladder beside one piece of the same final values, that is, low and high in one layer each.
Steps, thresholds and qualities are those of a checkpoint's profile. Tables of both ladders are fitted to images of
train/, bytes are whole payloads as encoded, of images of val/. With `--profiles FOLDER`, fitted profiles are kept
there and read again.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from overtone import command, models
from overtone.benchmarks.codec.contexts import maps
from overtone.frequency import THREE_LAYERS, TWO_LAYERS, Layer, Profile, encode_values, quantise
from overtone.training.data import read_split
from overtone.training.table_fitting import fit_tables

LADDERS = {"one piece": TWO_LAYERS, "ladder": THREE_LAYERS}


def values(maps: NDArray[np.float32], profile: Profile, quality: int) -> NDArray[np.int16]:
    """Coefficients float32[N, C, h, w], quantised with the steps of the last layer."""
    steps, threshold = profile.steps[profile.index(quality)], profile.threshold(quality)
    return np.stack([quantise(image, steps, threshold) for image in maps])


def fitted(train: NDArray[np.float32], profile: Profile, ladder: tuple[Layer, ...], effort: float) -> Profile:
    """The profile with another ladder and with tables fitted to coefficients float32[N, C, h, w]."""
    samples = [values(train, profile, quality) for quality in profile.qualities]
    tables = fit_tables(samples, profile.steps, profile.low, profile.high, ladder, effort)
    return replace(profile, ladder=ladder, tables=tables)


def mean_bytes(images: NDArray[np.int16], profile: Profile, quality: int) -> list[float]:
    """Mean bytes of each layer."""
    sizes = [[len(p) for p in encode_values(image, profile, quality).layers] for image in images]
    found: list[float] = np.mean(sizes, axis=0).tolist()
    return found


def row(quality: int, piece: list[float], ladder: list[float]) -> list[str]:
    """A row of the table."""
    each = [f"{size:.0f}" for size in (*ladder, sum(ladder), *piece, sum(piece))]
    return [str(quality), *each, f"{sum(ladder) / sum(piece):.3f}"]


def main(
    data: command.Data,
    checkpoint: Annotated[str, typer.Option(help="Whose steps and qualities are used.")] = "imagenette",
    train_on: Annotated[int, typer.Option(help="Images of train/ to fit tables to.")] = 240,
    measured: Annotated[int, typer.Option(help="Images of val/ to measure.")] = 100,
    effort: Annotated[float, typer.Option(help="Multiplies how long networks are trained.")] = 1.0,
    profiles: Annotated[Path | None, typer.Option(help="Where fitted profiles are kept.")] = None,
) -> None:
    """Print mean bytes of each layer, of the ladder, and of one piece, and their ratio."""
    profile = models.load(checkpoint)[1].profile
    val = maps(read_split(data, "val").paths, profile.size, measured)
    found = {}
    for name, ladder in LADDERS.items():
        kept = profiles / f"{name.replace(' ', '-')}.json" if profiles else None
        if kept and kept.exists():
            found[name] = Profile.from_json(kept.read_text())
            continue
        train = maps(read_split(data, "train").paths, profile.size, train_on)
        found[name] = fitted(train, profile, ladder, effort)
        if kept:
            kept.write_text(found[name].to_json())
    headings = [f"{layer.band} x{layer.factor}" for layer in THREE_LAYERS]
    table = Table("quality", *headings, "ladder", "low", "high", "one piece", "ratio")
    for quality in profile.qualities:
        images = values(val, profile, quality)
        each = {name: mean_bytes(images, p, quality) for name, p in found.items()}
        table.add_row(*row(quality, each["one piece"], each["ladder"]))
    console = Console()
    console.print(table)
    for name, p in found.items():
        size = len(replace(p, labels=("any",)).pack())
        console.print(f"the profile of {name} is {size:,} bytes packed, without labels")


if __name__ == "__main__":
    typer.run(main)
