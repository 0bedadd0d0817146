"""Compression gain of contexts: `python -m overtone.benchmarks.codec.contexts --data DIR`.

Payload bytes with context-dependent tables beside those with static ones. Tables are fitted to images of train/
and bytes counted on images of val/. Static is version 1 of the codec: DC by MED prediction, then one table for
each channel and quality, and 26 bytes of overhead for both bands together; its bytes are ideal code lengths, the
others are whole payloads as encoded.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from overtone import command
from overtone.frequency import (
    TWO_LAYERS,
    Layer,
    Profile,
    coefficients,
    encode_values,
    fit,
    open_rgb,
    quantise,
)
from overtone.frequency.channels import DC, HIGH, LOW
from overtone.frequency.features import predicted
from overtone.frequency.frequency_tables import best_table, code_lengths
from overtone.frequency.stream import channel_bits
from overtone.training.data import read_split
from overtone.training.progress import tracked
from overtone.training.table_fitting import fit_tables

STEPS = "256,112,64,32"
CHANNELS = LOW + HIGH
# Header and the coder's final state, in version 1.
STATIC_OVERHEAD = {"low": 12 + 2, "high": 10 + 2}
BANDS = {"low": slice(0, len(LOW)), "high": slice(len(LOW), len(CHANNELS))}


def maps(paths: Sequence[Path], size: int, count: int) -> NDArray[np.float32]:
    """float32[N, 24, h, w] of images drawn from a fixed seed: low channels, then high ones."""
    chosen = np.random.default_rng(0).permutation(len(paths))[:count]
    found = [coefficients(fit(open_rgb(paths[i]), size), CHANNELS) for i in tracked(chosen.tolist(), "DCT")]
    return np.stack(found)


def quantised(values: NDArray[np.float32], step: int) -> NDArray[np.int16]:
    """int16[N, 24, h, w] at one step for all channels."""
    return np.stack([quantise(image, (step,) * len(CHANNELS)) for image in values])


def static_bits(fitted: NDArray[np.int16], measured: NDArray[np.int16]) -> NDArray[np.float64]:
    """float64[24]: mean bits per image with a static table for each channel."""
    found = []
    for number, channel in enumerate(CHANNELS):
        sample, held_out = (_folded(b[:, number], channel in DC) for b in (fitted, measured))
        table = best_table(np.bincount(sample, minlength=1 << 16).astype(np.float64))
        found.append(float(code_lengths(table, 1 << 16)[held_out].sum()) / len(measured))
    return np.array(found)


def context_bits(measured: NDArray[np.int16], profile: Profile, quality: int) -> NDArray[np.float64]:
    """float64[24]: mean bits per image with contexts, of low and then high in one layer each."""
    low, high = profile.plan(0, quality), profile.plan(1, quality)
    split = BANDS["low"]
    each = [
        [*channel_bits(p[:0], p[split], low), *channel_bits(p[split], p[BANDS["high"]], high)]
        for p in measured
    ]
    mean: NDArray[np.float64] = np.mean(each, axis=0)
    return mean


def fitted_profile(
    train: NDArray[np.float32],
    steps: Sequence[int],
    ladder: tuple[Layer, ...] = TWO_LAYERS,
    effort: float = 1.0,
) -> Profile:
    """A profile with a quality for each step, its tables fitted to coefficients float32[N, 24, h, w]."""
    uniform = Profile.uniform(["any"], size=8 * train.shape[-1], steps=steps, ladder=ladder)
    samples = [quantised(train, step) for step in steps]
    return replace(uniform, tables=fit_tables(samples, uniform.steps, LOW, HIGH, ladder, effort))


def _folded(plane: NDArray[np.int16], dc: bool) -> NDArray[np.int64]:
    away = plane - (predicted(plane) if dc else 0)
    values = away.astype(np.int64).ravel()
    return np.where(values < 0, -2 * values - 1, 2 * values)


def main(
    data: command.Data,
    size: Annotated[int, typer.Option(help="Side of the image in pixels.")] = 224,
    steps: Annotated[str, typer.Option(help="Quantiser steps, one quality each.")] = STEPS,
    fitted: Annotated[int, typer.Option(help="Images of train/ to fit tables to.")] = 240,
    measured: Annotated[int, typer.Option(help="Images of val/ to measure.")] = 200,
    channels: Annotated[bool, typer.Option(help="Print bits per channel too.")] = False,
    effort: Annotated[float, typer.Option(help="Multiplies how long networks are trained.")] = 1.0,
) -> None:
    """Print mean payload bytes of both bands with static tables and with contexts, and their ratio."""
    console, ladder = Console(), sorted(map(int, steps.split(",")), reverse=True)
    train = maps(read_split(data, "train").paths, size, fitted)
    val = maps(read_split(data, "val").paths, size, measured)
    profile = fitted_profile(train, ladder, effort=effort)
    title = f"{data.name}/val, {size} px: {len(val)} images, tables from {len(train)} of train"
    table = Table("step", "band", "static", "contexts", "ratio", title=title)
    each = Table("step", "channel", "static bits", "context bits", "ratio", title="bits per image")
    for quality, step in enumerate(ladder, 1):
        held_out = quantised(val, step)
        static = static_bits(quantised(train, step), held_out)
        sent = [encode_values(p, profile, quality) for p in held_out]
        for layer, (band, numbers) in enumerate(BANDS.items()):
            before = static[numbers].sum() / 8 + STATIC_OVERHEAD[band]
            after = float(np.mean([len(s.layers[layer]) for s in sent]))
            table.add_row(str(step), band, f"{before:.0f}", f"{after:.0f}", f"{after / before:.3f}")
        if channels:
            found = context_bits(held_out, profile, quality)
            for channel, before, after in zip(CHANNELS, static, found, strict=True):
                each.add_row(
                    str(step), str(channel), f"{before:.0f}", f"{after:.0f}", f"{after / before:.3f}"
                )
    console.print(table)
    if channels:
        console.print(each)
    console.print(f"the profile is {len(profile.pack()):,} bytes packed")


if __name__ == "__main__":
    typer.run(main)
