import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import report
from benchmarks.fleet import Harvest
from benchmarks.load import Shot
from benchmarks.plan import Plan, Run
from benchmarks.runs import ABOUT, TIMELINE, Book, Result
from benchmarks.study import Study, knee
from benchmarks.timeline import PHASES
from edge_client.stage import Stage

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
SHOT = Shot(100.0, 5.0, "low", True, 900, 0, 1000, 60, 1.0, 20.0)
MACHINE = {"processor": "abacus", "cores": 2, "load": 0.5, "system": "Linux", "python": "3.11", "when": "now"}
# Milliseconds of the median, by policy.
LATENCY = {"auto": 104.0, "on_demand": 150.0, "ahead": 110.0, "at_once": 100.0, "": 400.0}


STAGES: tuple[Stage, ...] = ("low", "low", "high", "low", "low")


def shots(run: Run) -> list[Shot]:
    point = run.point
    base = LATENCY[point.policy] * (1.0 if point.devices < 4 else 3.0)
    payload = 4000 if point.rival else 900 + 100 * point.quality
    return [
        replace(SHOT, latency_ms=base + i, payload=payload, up=payload + 100, right=i % 5 != 0, stage=stage)
        for i, stage in enumerate(STAGES)
    ]


@pytest.fixture
def book(tmp_path: Path) -> Book:
    made = Book(tmp_path / "results.jsonl")
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


def test_the_page_needs_nothing_else(book: Book, tmp_path: Path) -> None:
    page = report.write(book, tmp_path).read_text()
    assert page.count("<svg") == 6
    assert not re.search(r"""(src|href)=["'](?!#)|@import|url\((?!#)|<script""", page)
    assert "Of &lt;tests&gt;" in page
    for name in ("links", "policies", "accuracy", "exits", "devices", "timeline"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    # The figures take their colours from the page, which has two sets of them.
    assert not re.search(r"<svg.*?fill: #[0-9a-f]{6}", page, re.DOTALL)


def test_the_headline(book: Book) -> None:
    study = Study(book)
    said = report.headline(study, "lte-m")
    assert said is not None
    jpeg, webp = said["against"]
    assert jpeg["title"] == "JPEG 64 px q75"
    assert webp["title"] == "WebP, equal accuracy"
    assert jpeg["latency"] == pytest.approx(106 / 402)
    assert jpeg["bytes"] == pytest.approx(1000 / 4100)
    assert len(report.rows(study, "3g")) == 3


def test_rounds_are_pooled(book: Book) -> None:
    study = Study(book)
    pool = study.one("links", link="3g", policy="ahead")
    assert pool is not None
    assert pool.n == 10
    assert pool.latency(50) == 112.0
    assert pool.exit_share == pytest.approx(0.8)
    accuracy = pool.accuracy
    assert accuracy is not None
    assert accuracy[0] == pytest.approx(0.8)
    assert accuracy[1] < 0.8 < accuracy[2]


def test_the_policies_are_judged(book: Book) -> None:
    verdicts = Study(book).verdicts()
    assert [verdict.link for verdict in verdicts] == ["lte-m", "3g"]
    assert verdicts[0].best == "at_once"
    assert verdicts[0].auto_to_best == pytest.approx(106 / 102)
    row = report.verdict_row(verdicts[0])
    assert row["near"]


def test_the_knee_is_the_last_fleet_that_keeps_up(book: Book) -> None:
    fleets = Study(book).fleets()
    found = knee(fleets)
    assert found is not None
    assert found.point.devices == 2
    assert knee(fleets[:2]) is None


def test_half_a_sweep_has_a_report_too(book: Book, tmp_path: Path) -> None:
    lines = book.path.read_text().splitlines()
    half = tmp_path / "half.jsonl"
    half.write_text("\n".join(lines[:4]) + "\n")
    page = report.write(Book(half), tmp_path).read_text()
    assert "<svg" in page
    with pytest.raises(ValueError, match="no results of a sweep"):
        Study(Book(tmp_path / "nothing.jsonl"))
