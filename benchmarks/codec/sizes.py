"""Bytes per picture over input sizes and quantiser steps: `python -m overtone.benchmarks.codec.sizes --data DIR`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from overtone.frequency import Profile, coefficients, encode_bands, fit, open_rgb, quantise
from overtone.frequency.channels import HIGH, LOW
from overtone.training.data import part
from overtone.training.progress import tracked
from overtone.training.table_fitting import fit_tables

SIZES = (224, 320, 448)
STEPS = (32, 64, 96, 128, 160)


def maps(paths: Sequence[Path], size: int) -> NDArray[np.float32]:
    """float32[N, 24, h, w]: low channels, then high ones."""
    found = [coefficients(fit(open_rgb(path), size), LOW + HIGH) for path in tracked(paths, f"{size} px")]
    return np.stack(found)


def mean_bytes(fitted: NDArray[np.float32], measured: NDArray[np.float32], step: int) -> tuple[float, float]:
    """Mean payload bytes (low, high) of the measured pictures, with tables counted on the fitted ones."""
    steps = np.full(len(LOW + HIGH), step, dtype=np.float32)
    n = len(LOW)
    sample = np.stack([quantise(m, steps) for m in fitted])
    size = 8 * fitted.shape[-1]
    uniform = Profile.uniform(["any"], size=size, steps=(step,))
    tables = fit_tables([(sample[:, :n], sample[:, n:])], uniform.steps, LOW, HIGH)
    profile = replace(uniform, tables=tables)
    quantised = [quantise(m, steps) for m in measured]
    sent = [encode_bands(q[:n], q[n:], profile, 1) for q in quantised]
    return float(np.mean([len(s.low) for s in sent])), float(np.mean([len(s.high) for s in sent]))


def main(
    data: Annotated[Path, typer.Option(envvar="OVERTONE_DATA", help="Folder with train/ and val/.")],
    count: Annotated[int, typer.Option(help="Pictures to measure, and to count tables on.")] = 200,
) -> None:
    """Print mean payload bytes of both bands; tables are counted on train/, bytes on val/."""
    rng = np.random.default_rng(0)
    train, val = part(data, "train").paths, part(data, "val").paths
    chosen = [[paths[i] for i in rng.permutation(len(paths))[:count]] for paths in (train, val)]
    table = Table(title=f"mean payload bytes (low / high) of {count} pictures of {data.name}/val")
    table.add_column("step", justify="right")
    columns = []
    for size in SIZES:
        table.add_column(f"{size} px", justify="right")
        fitted, measured = (maps(paths, size) for paths in chosen)
        columns.append([mean_bytes(fitted, measured, step) for step in STEPS])
    for i, step in enumerate(STEPS):
        table.add_row(str(step), *(f"{column[i][0]:.0f} / {column[i][1]:.0f}" for column in columns))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
