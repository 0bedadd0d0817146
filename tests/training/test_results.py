"""docs/results.md from logged runs: nothing in it that was not in a log."""

import json
from pathlib import Path
from typing import Any

import pytest

from overtone.training import published, results
from overtone.training.results import ResultsError, main, order, read_runs, render, structures, systems


def single(name: str, top1: float, seed: int = 0) -> dict[str, Any]:
    return log(name, seed, [{"data": "x/val", "n": 100, "step": 16, "top1": top1, "top5": 1.0}])


def cascade(name: str, top1: float, seed: int = 0) -> dict[str, Any]:
    def at(quality: int, default: bool) -> dict[str, Any]:
        mode = {"top1": top1 if default else 0.0, "top5": 1.0}
        sizes = {"exit_share": 0.7, "low_bytes": 1000.0, "high_bytes": 1200.0, "mean_bytes": 1360.0}
        modes = {"low": mode, "both": mode, "cascade": mode}
        return {"quality": quality, "step": 64 / quality, "n": 100, "default": default, **modes, **sizes}

    return log(name, seed, [at(1, False), at(2, True), at(3, False)])


def log(name: str, seed: int, entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "command": f"overtone train {name} --data DIR --seed {seed}",
        "recipe": {"name": name},
        "data": "pictures",
        "images": 900,
        "seed": seed,
        "torch": "2",
        "machine": {"processor": "a processor", "cores": 2, "device": "cpu"},
        "seconds": 3600.0,
        "cost": {"parameters": 1_500_000, "macs": 250_000_000},
        "epochs": [],
        "results": entries,
    }


def written(folder: Path, *runs: dict[str, Any]) -> Path:
    for run in runs:
        (folder / f"{run['name']}-seed{run['seed']}.json").write_text(json.dumps(run))
    return folder


def test_seeds_are_averaged_with_their_spread(tmp_path: Path) -> None:
    runs = read_runs(written(tmp_path, single("small-rgb", 0.80), single("small-rgb", 0.84, seed=1)))
    row = systems(published.SYSTEMS)(runs).splitlines()[-1]
    assert row == "| RGB ResNet-50 | 82.67 | 82.00 ± 2.83 | 2 | 1.50 M | 0.250 G |"


def test_a_cascade_is_judged_at_its_default_quality(tmp_path: Path) -> None:
    row = structures(read_runs(written(tmp_path, cascade("small-structure-3", 0.75)))).splitlines()[-1]
    assert row == "| 3: stems concatenated | 83.22 | 75.00 | 75.00 | 75.00 | 70.00 | 1 |"


def test_disagreements_with_the_published_order_are_named(tmp_path: Path) -> None:
    kept = cascade("small-structure-3", 0.75), cascade("small-structure-1", 0.70)
    say = order(published.STRUCTURES)
    assert say(read_runs(written(tmp_path, *kept))).endswith("1 stand in the same order here.")
    text = say(read_runs(written(tmp_path, cascade("small-structure-1", 0.80))))
    assert "0 stand in the same order" in text
    assert "-1.40 published, +5.00 here" in text


def test_small_published_differences_are_no_order(tmp_path: Path) -> None:
    runs = read_runs(
        written(tmp_path, cascade("small-structure-1", 0.7), cascade("small-structure-2-add", 0.6))
    )
    assert order(published.STRUCTURES)(runs) == ""


def test_every_table_of_runs_renders_with_and_without_them(tmp_path: Path) -> None:
    template = "\n\n".join(f"${name}" for name in results.RUNS)
    assert "No such run has been logged yet" in render(template, tmp_path)
    full = render(template, written(tmp_path, cascade("small-structure-3", 0.9), single("small-rgb", 0.8)))
    assert "    overtone train small-rgb --data DIR --seed 0" in full
    assert "2.0 hours" in full


def test_a_checkpoints_log(tmp_path: Path) -> None:
    mode = {"top1": 0.9, "top5": 0.99, "mean_payload_bytes": 1000.0}
    entry = {
        "quality": 2,
        "step": 64.0,
        "low": mode,
        "both": mode,
        "cascade": mode | {"exit_share": 0.7},
        "thresholds": [
            {
                "threshold": 0.5,
                "operating_point": None,
                "exit_share": 0.7,
                "low_answer_top1": 0.95,
                "top1": 0.9,
                "mean_payload_bytes": 1000.0,
            }
        ],
    }
    log = entry | {"qualities": [entry | {"quality": 1}, entry]}
    (tmp_path / "evaluate-imagenette.json").write_text(json.dumps(log))
    text = render("$imagenette\n\n$imagenette_thresholds", tmp_path)
    assert "| **2** | 64 | 90.00% | 1000 | 90.00% | 1000 | **90.00%** | 99.00% | **1000** | 70.0% |" in text
    assert "| 0.500 |  | 70.0% | 95.00% | 90.00% | 1000 |" in text


def test_a_missing_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"evaluate-trashnet\.json: no such log"):
        render("$trashnet", tmp_path)


def test_other_json_is_left_alone_and_damage_is_named(tmp_path: Path) -> None:
    (tmp_path / "evaluate.json").write_text('{"n": 1}')
    assert read_runs(tmp_path) == {}
    (tmp_path / "cut.json").write_text('{"n": ')
    with pytest.raises(ResultsError, match=r"cut\.json"):
        read_runs(tmp_path)


def test_a_run_without_results_says_so(tmp_path: Path) -> None:
    runs = read_runs(written(tmp_path, log("small-rgb", 0, [])))
    with pytest.raises(ResultsError, match="small-rgb: no results"):
        systems(published.SYSTEMS)(runs)


def test_unknown_table_in_the_template(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="nothing"):
        render("$nothing", tmp_path)


def test_the_page_is_what_the_logs_say(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "results.template.md").write_text("# Results\n\n$systems\n")
    written(tmp_path / "runs", single("small-rgb", 0.8))
    main(tmp_path)
    assert "| RGB ResNet-50 | 82.67 | 80.00 | 1 |" in (tmp_path / "results.md").read_text()


def test_the_committed_page_is_up_to_date() -> None:
    docs = Path(__file__).parents[2] / "docs"
    text = render((docs / "results.template.md").read_text("utf-8"), docs / "runs")
    assert (docs / "results.md").read_text("utf-8") == text, "run `make results`"
