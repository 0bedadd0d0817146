"""The tables of docs/results.md are what the logs say."""

import json
from pathlib import Path
from typing import Any

import pytest

from experiments import paper_results
from experiments.results import RUNS, ResultsError, order, read_runs, render, structures, systems

DOCS = Path(__file__).parents[2] / "docs"


def single(name: str, top1: float, seed: int = 0) -> dict[str, Any]:
    return log(name, seed, [{"data": "x/val", "n": 100, "step": 16, "top1": top1, "top5": 1.0}])


def cascade(name: str, top1: float, seed: int = 0) -> dict[str, Any]:
    def at(quality: int, default: bool) -> dict[str, Any]:
        mode = {"top1": top1 if default else 0.0, "top5": 1.0}
        modes = {"low": mode, "both": mode, "cascade": mode}
        return {"quality": quality, "default": default, "exit_share": 0.7, **modes}

    return log(name, seed, [at(1, False), at(2, True), at(3, False)])


def log(name: str, seed: int, entries: list[dict[str, Any]]) -> dict[str, Any]:
    cost = {"parameters": 1_500_000, "macs": 250_000_000}
    return {"name": name, "recipe": {"name": name}, "seed": seed, "cost": cost, "results": entries}


def written(folder: Path, *runs: dict[str, Any]) -> Path:
    with (folder / RUNS).open("a") as log:
        log.writelines(json.dumps(run) + "\n" for run in runs)
    return folder


def test_seeds_are_averaged_with_their_spread(tmp_path: Path) -> None:
    runs = read_runs(written(tmp_path, single("small-rgb", 0.80), single("small-rgb", 0.84, seed=1)))
    row = systems(paper_results.SYSTEMS)(runs).splitlines()[-1]
    assert row == "| RGB ResNet-50 | 82.67 | 82.00 ± 2.83 | 2 | 1.50 M | 0.250 G |"


def test_a_cascade_is_judged_at_its_default_quality(tmp_path: Path) -> None:
    row = structures(read_runs(written(tmp_path, cascade("small-structure-3", 0.75)))).splitlines()[-1]
    assert row == "| 3: stems concatenated | 83.22 | 75.00 | 75.00 | 75.00 | 70.00 | 1 |"


def test_pairs_in_another_order_are_named(tmp_path: Path) -> None:
    three, one = "small-structure-3", "small-structure-1"
    same = order(read_runs(written(tmp_path, cascade(three, 0.75), cascade(one, 0.70))))
    assert "| structures | 1 | 0 |  |" in same
    (tmp_path / RUNS).unlink()
    other = order(read_runs(written(tmp_path, cascade(three, 0.75), cascade(one, 0.80))))
    assert "| structures | 1 | 1 | 1: features" in other
    assert "-1.40 published, +5.00 here" in other
    # A published difference of 0.11 is no order.
    (tmp_path / RUNS).unlink()
    written(tmp_path, cascade(one, 0.7), cascade("small-structure-2-add", 0.6))
    assert "| structures | 0 | 0 |  |" in order(read_runs(tmp_path))


def test_missing_and_damaged_logs_are_named(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"evaluate-imagenette-lite\.json: no such log"):
        render(DOCS / "results.md", tmp_path)
    assert read_runs(tmp_path) == {}
    written(tmp_path, log("small-rgb", 0, []))
    with pytest.raises(ResultsError, match="small-rgb: has no results"):
        systems(paper_results.SYSTEMS)(read_runs(tmp_path))
    with (tmp_path / RUNS).open("a") as cut:
        cut.write('{"n": ')
    with pytest.raises(ResultsError, match=r"experiments\.jsonl: not JSON"):
        read_runs(tmp_path)


def test_the_committed_page_is_up_to_date() -> None:
    page = DOCS / "results.md"
    assert render(page, DOCS / "runs") == page.read_text("utf-8"), "run `make results`"
