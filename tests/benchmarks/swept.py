"""A sweep's results, made up."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from overtone.benchmarks.load.fleet import Harvest
from overtone.benchmarks.load.ready import Shot
from overtone.benchmarks.sweep.plan import Plan, Run
from overtone.benchmarks.sweep.runs import ABOUT, TIMELINE, Book, Result
from overtone.benchmarks.sweep.timeline import PHASES
from overtone.edge_client.stage import Stage

PLAN: dict[str, Any] = {
    "title": "Of <tests>",
    "equal": "webp-64-40",
    "timelines": ["lte-m"],
    "grid": [
        {
            "name": "links",
            "links": ["lte-m", "3g"],
            "policies": ["auto", "on_demand", "ahead", "at_once"],
            "uploads": ["jpeg-64-75", "webp-64-40"],
            "rounds": 2,
        },
        {
            "name": "accuracy",
            "links": ["unlimited"],
            "policies": ["on_demand"],
            "qualities": [1, 2],
            "operating_points": ["", "careful"],
            "uploads": ["jpeg-64-20", "jpeg-64-75"],
        },
        {"name": "devices", "links": ["wifi"], "devices": [1, 2, 4], "images_per_second": 1.0},
    ],
}
SHOT = Shot(100.0, 5.0, "low", True, 900, 0, 1000, 60, 1.234, 20.0)
MACHINE = {"processor": "abacus", "cores": 2, "load": 0.5, "system": "Linux", "python": "3.11", "when": "now"}
# Milliseconds of the median, by policy.
LATENCY = {"auto": 104.0, "on_demand": 150.0, "ahead": 110.0, "at_once": 100.0, "": 400.0}


STAGES: tuple[Stage, ...] = ("low", "low", "high", "low", "low")


def shots(run: Run) -> list[Shot]:
    point = run.point
    base = LATENCY[point.policy] * (1.0 if point.devices < 4 else 3.0)
    payload = 4000 if point.rival else 900 + 100 * point.quality
    return [
        replace(
            SHOT,
            latency_ms=base + i,
            payload=payload,
            high=300 if point.policy not in ("", "on_demand") else 0,
            up=payload + 100,
            right=i % 5 != 0,
            stage=stage,
        )
        for i, stage in enumerate(STAGES)
    ]


def swept(folder: Path) -> Book:
    """The results of `PLAN`, in a folder."""
    made = Book(folder / "results.jsonl")
    plan = Plan.model_validate(PLAN)
    made.add(
        {
            "type": ABOUT,
            "plan": plan.model_dump(mode="json", by_alias=True),
            "model": "tiny",
            "size": 64,
            "profile": "01020304",
            "quality": 2,
            "pictures": 5,
            "origin": "photos",
            "note": "",
            "server": "on the same machine",
            "machine": MACHINE,
        }
    )
    for run in plan.runs():
        made.add(Result.of(run.key(""), run, Harvest(shots(run), [], 2.0, 330.0, 185.0, 0.1)).line())
    phases = [[name, 10.0] for name in PHASES]
    made.add(
        {
            "type": TIMELINE,
            "key": "t",
            "link": "lte-m",
            "phases": phases,
            "low_bytes": 900,
            "high_bytes": 1200,
        }
    )
    return made
