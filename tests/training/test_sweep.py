"""A sweep that was stopped goes on, and trains nothing twice."""

from pathlib import Path
from typing import Any

import pytest

from overtone.training import sweep
from overtone.training.sweep import Job, jobs


def test_a_folder_stands_for_its_recipes_and_seeds_come_in_turn() -> None:
    found = jobs(["small", "report"], [0, 1])
    assert Job("small/rgb", 0) in found
    assert not any(job.recipe.endswith("base") for job in found)
    half = len(found) // 2
    assert {job.seed for job in found[:half]} == {0}
    assert found[half - 1] == Job("report", 0)
    assert Job("small/rgb", 1).name == "small-rgb-seed1"


def test_what_is_logged_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[tuple[str, bool]] = []

    def train(recipe: str, data: str, out: Path, *, resume: bool, **_: Any) -> None:
        trained.append((recipe, resume))
        out.mkdir(parents=True, exist_ok=True)
        if recipe == "b" and not resume:
            raise KeyboardInterrupt
        (out / "run.json").write_text("{}")

    monkeypatch.setattr("overtone.training.commands.train", train)
    todo, runs, logs = [Job("a", 0), Job("b", 0)], tmp_path / "runs", tmp_path / "logs"
    with pytest.raises(KeyboardInterrupt):
        sweep.sweep(todo, "data", runs, logs)
    sweep.sweep(todo, "data", runs, logs)
    sweep.sweep(todo, "data", runs, logs)
    assert trained == [("a", False), ("b", False), ("b", True)]
    assert sorted(p.name for p in logs.iterdir()) == ["a-seed0.json", "b-seed0.json"]
