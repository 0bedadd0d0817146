"""Many runs one after another: `python -m overtone.training.sweep small --data DIR --seeds 0,1`.

What is logged already is skipped and what was interrupted goes on, so the same command finishes a sweep that
was stopped anywhere.
"""

import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from overtone.training import commands
from overtone.training.recipe import RECIPES, RecipeError


@dataclass(frozen=True)
class Job:
    """One recipe with one seed."""

    recipe: str
    seed: int

    @property
    def name(self) -> str:
        """What its folder and its log are called."""
        return f"{self.recipe.replace('/', '-')}-seed{self.seed}"


def jobs(recipes: Iterable[str], seeds: Iterable[int]) -> list[Job]:
    """Every recipe with the first seed, then with the next; a folder of recipes stands for all in it."""
    names = [name for recipe in recipes for name in _expanded(recipe)]
    return [Job(name, seed) for seed in seeds for name in names]


def _expanded(recipe: str) -> list[str]:
    folder = RECIPES / recipe
    if not folder.is_dir():
        return [recipe]
    found = sorted(f"{recipe}/{p.stem}" for p in folder.glob("*.toml") if p.stem != "base")
    if not found:
        raise RecipeError(f"{folder}: no recipes in it")
    return found


def sweep(
    todo: list[Job], data: str, runs: Path, logs: Path, *, workers: int = 1, device: str = "auto"
) -> None:
    """Train what is not in `logs` yet, each in its folder below `runs`."""
    left = [job for job in todo if not (logs / f"{job.name}.json").exists()]
    console, started = Console(), time.monotonic()
    logs.mkdir(parents=True, exist_ok=True)
    for done, job in enumerate(left):
        ahead = (time.monotonic() - started) / done * (len(left) - done) / 60 if done else None
        time_left = "" if ahead is None else f", about {ahead:.0f} min left"
        console.rule(f"{len(todo) - len(left) + done + 1} of {len(todo)}: {job.name}{time_left}")
        folder = runs / job.name
        commands.train(
            job.recipe, data, folder, seed=job.seed, resume=folder.exists(), workers=workers, device=device
        )
        shutil.copyfile(folder / "run.json", logs / f"{job.name}.json")


def main(
    recipes: Annotated[list[str], typer.Argument(help="Recipes, or folders of them such as `small`.")],
    data: Annotated[str, typer.Option(envvar="OVERTONE_DATA", help="Folder or name of a data set.")],
    seeds: Annotated[str, typer.Option(help="Seeds with commas between them.")] = "0",
    runs: Annotated[Path, typer.Option(help="Where the runs' folders are.")] = Path("runs"),
    logs: Annotated[Path, typer.Option(help="Where finished runs are logged.")] = Path("docs/runs"),
    workers: Annotated[int, typer.Option(help="Processes that decode pictures.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Train many recipes, skipping what is logged already."""
    try:
        todo = jobs(recipes, [int(seed) for seed in seeds.split(",")])
        sweep(todo, data, runs, logs, workers=workers, device=device)
    except (ValueError, OSError) as error:
        Console(stderr=True).print(f"overtone: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        Console(stderr=True).print("interrupted; the same command goes on from here", style="red")
        raise typer.Exit(130) from None


if __name__ == "__main__":
    typer.run(main)
