"""Train many recipes one after another: `python -m experiments.sweep small --data DIR --seeds 0,1`.

Runs that are logged already are skipped and interrupted ones are resumed, so the same command completes a sweep
that was stopped at any point.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from experiments.recipe_files import load, named
from experiments.results import RUNS, read_log
from overtone import command
from overtone.training.train import train


def sweep(
    recipes: Iterable[str],
    seeds: Iterable[int],
    data: str,
    runs: Path,
    logs: Path,
    *,
    workers: int = 1,
    device: str = "auto",
) -> None:
    """Train every recipe with the first seed, then with the next, unless `logs` has the run already."""
    names = [name for prefix in recipes for name in named(prefix)]
    jobs = [(name, seed) for seed in seeds for name in names]
    logs.mkdir(parents=True, exist_ok=True)
    done = {(run["name"], run["seed"]) for run in read_log(logs / RUNS)}
    for number, (name, seed) in enumerate(jobs, 1):
        if (name, seed) in done:
            continue
        Console().rule(f"{number} of {len(jobs)}: {name}, seed {seed}")
        folder = runs / f"{name}-seed{seed}"
        train(load(name).changed(seed=seed), data, folder, resume=True, workers=workers, device=device)
        run = json.loads((folder / "run.json").read_text("utf-8"))
        with (logs / RUNS).open("a", encoding="utf-8") as log:
            log.write(json.dumps(run) + "\n")


@command.reporting("experiments.sweep", "train")
def main(
    recipes: Annotated[list[str], typer.Argument(help="Recipes, or what their names begin with.")],
    data: Annotated[str, typer.Option(envvar="OVERTONE_DATA", help="Folder or name of a data set.")],
    seeds: Annotated[str, typer.Option(help="Seeds, separated by commas.")] = "0",
    runs: Annotated[Path, typer.Option(help="Where the runs' folders are.")] = Path("runs"),
    logs: Annotated[Path, typer.Option(help="Where finished runs are logged.")] = Path("docs/runs"),
    workers: command.Workers = 1,
    device: command.Device = "auto",
) -> None:
    """Train many recipes, skipping those that are logged already."""
    numbers = [int(seed) for seed in seeds.split(",")]
    sweep(recipes, numbers, data, runs, logs, workers=workers, device=device)


if __name__ == "__main__":
    typer.run(main)
