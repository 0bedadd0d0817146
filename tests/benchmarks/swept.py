"""An invented sweep's results."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from overtone.benchmarks.load.fleet import FleetResult
from overtone.benchmarks.load.prepared import Sample
from overtone.benchmarks.sweep.figures import PHASE_COLOURS
from overtone.benchmarks.sweep.plan import Plan, Run
from overtone.benchmarks.sweep.results import ABOUT, TIMELINE, Result, ResultFile
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
        {
            "name": "stream",
            "links": ["lte-m"],
            "kinds": ["session", "rest"],
            "uploads": ["jpeg-64-75", "webp-64-40"],
            "in_flight": 8,
        },
    ],
}
SAMPLE = Sample(100.0, 5.0, "low", 1, True, 900, [900, 0], 1000, 60, 1.23456, 20.0, 1100, 164)
STAGES: tuple[Stage, ...] = ("low", "low", "high", "low", "low")
# Milliseconds of the fastest image, by policy.
LATENCY = {"auto": 104.0, "on_demand": 150.0, "ahead": 110.0, "at_once": 100.0, "": 400.0}


def samples(run: Run) -> list[Sample]:
    point = run.point
    base = LATENCY[point.policy] * (1.0 if point.devices < 4 else 3.0)
    payload = 4000 if point.baseline else 900 + 100 * point.quality
    more = 120 if point.policy not in ("", "on_demand") else 0
    common = replace(
        SAMPLE,
        payload=payload,
        by_layer=[payload - more, more],
        up=payload + 100,
        wire_up=payload + 200,
    )
    return [
        replace(common, latency_ms=base + i, correct=i % 5 != 0, stage=stage, layers=1 + (stage == "high"))
        for i, stage in enumerate(STAGES)
    ]


def swept(folder: Path) -> ResultFile:
    """The results of `PLAN`, in a folder."""
    file, plan = ResultFile(folder / "results.jsonl"), Plan.model_validate(PLAN)
    about = {
        "model": "tiny",
        "size": 64,
        "profile": "01020304",
        "quality": 2,
        "images": 5,
        "origin": "photos",
    }
    machine = {
        "processor": "abacus",
        "cores": 2,
        "load": 0.5,
        "system": "Linux",
        "python": "3.11",
        "when": "now",
    }
    dumped = plan.model_dump(mode="json", by_alias=True)
    file.add(
        {
            "type": ABOUT,
            "plan": dumped,
            **about,
            "note": "",
            "server": "here",
            "machine": machine,
            "equal": None,
        }
    )
    for run in plan.runs():
        seconds = 4.0 if run.point.baseline else 2.0
        found = FleetResult(samples(run), [], seconds, 330.0, 185.0, 0.1)
        file.add(Result.of(run.key(""), run, found).line())
    phases = [[f"{name} 1" if name != "up" else "layer 1 up", 10.0] for name in PHASE_COLOURS]
    file.add({"type": TIMELINE, "key": "t", "link": "lte-m", "phases": phases, "bytes": [900, 1200, 500]})
    return file
