"""The recipes of the papers, and a sweep that was stopped and resumes without training anything twice."""

import json
from pathlib import Path
from typing import Any

import pytest

from experiments import sweep as room
from experiments.recipe_files import BASE, RECIPES, load, named
from experiments.results import read_log
from overtone.training.recipe import Recipe, RecipeError

NAMES = sorted(path.stem for path in RECIPES.glob("*.toml") if path.stem != BASE)


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_is_valid(name: str) -> None:
    recipe = load(name)
    assert recipe.name == name
    assert (RECIPES / f"{name}.toml").read_text("utf-8").startswith("# "), "says what it is"
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_every_experiment_is_there_for_a_gpu_and_for_two_cores() -> None:
    small = {name.removeprefix("small-") for name in named("small")}
    report = {name.removeprefix("report-") for name in NAMES if name.startswith("report-")}
    assert small - {"structure-3"} == report, "report itself is structure 3"
    assert named("report") == ["report"]
    with pytest.raises(RecipeError, match="no such recipe"):
        named("large")


def test_the_reports_recipe() -> None:
    for name in ("report", "report-rgb", "report-structure-2-cat-012"):
        o = load(name).optimiser
        assert (o.lr, o.momentum, o.weight_decay, o.batch, o.warmup) == (0.5, 0.9, 1e-4, 128, 5)
    assert load("report").epochs == (90, 90)
    assert load("report-frequency-24").epochs == (90,)
    assert load("report-structure-2-cat-012").network.stages == (0, 1, 2)  # type: ignore[attr-defined]


def test_what_is_logged_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[tuple[str, int]] = []

    def train(recipe: Recipe, data: str, out: Path, **_: Any) -> None:
        trained.append((recipe.name, recipe.seed))
        out.mkdir(parents=True, exist_ok=True)
        if len(trained) == 2:
            raise KeyboardInterrupt
        (out / "run.json").write_text(json.dumps({"name": recipe.name, "seed": recipe.seed}))

    monkeypatch.setattr(room, "train", train)
    runs, logs = tmp_path / "runs", tmp_path / "logs"

    def sweep() -> None:
        room.sweep(["small-rgb", "report"], [0, 1], "data", runs, logs)

    with pytest.raises(KeyboardInterrupt):
        sweep()
    sweep()
    sweep()
    assert trained == [("small-rgb", 0), ("report", 0), ("report", 0), ("small-rgb", 1), ("report", 1)]
    logged = [(run["name"], run["seed"]) for run in read_log(logs / "experiments.jsonl")]
    assert sorted(logged) == [(name, seed) for name in ("report", "small-rgb") for seed in (0, 1)]
