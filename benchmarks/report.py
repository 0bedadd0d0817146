"""The report of a sweep: one page that needs nothing else, and its pictures as PNGs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from benchmarks import figures, ink
from benchmarks.links import PROFILES
from benchmarks.runs import Book
from benchmarks.study import KNEE, Pool, Study, Verdict, knee

TEMPLATE = Path(__file__).parent / "report.html"
PAGE = "report.html"
# What the headline is about; where they were not measured, the slowest two links that were.
HEADLINE_LINKS = ("lte-m", "3g")
# Auto is near the best policy within this share of its mean latency.
NEAR = 0.05
# Load a core, before anything was started, from which latencies are not worth much.
CROWDED = 0.5


def write(book: Book, folder: Path) -> Path:
    """Draw and write everything; the page's path.

    Raises:
        ValueError: there are no results to report.
    """
    study = Study(book)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    drawn = {name: Markup(svg) for name, svg in figures.draw(study, folder).items()}
    page = folder / PAGE
    page.write_text(template.render(figures=drawn, **content(study)), encoding="utf-8")
    return page


def content(study: Study) -> dict[str, Any]:
    """What the page says, beside its pictures."""
    chosen = [link for link in HEADLINE_LINKS if link in study.links] or study.links[:2]
    return {
        "title": study.plan.title,
        "about": study.about,
        "plan": study.plan,
        "crowded": study.about["machine"]["load"] > CROWDED * study.about["machine"]["cores"],
        "headlines": [found for link in chosen if (found := headline(study, link))],
        "tables": [(link, ink.link_title(link), rows(study, link)) for link in study.links],
        "verdicts": [verdict_row(verdict) for verdict in study.verdicts()],
        "policies": [
            name for name in figures.POLICY_COLOURS if any(name in v.latency for v in study.verdicts())
        ],
        "near": NEAR,
        "fleets": [fleet_row(pool) for pool in study.fleets()],
        "knee": _knee(study.fleets()),
        "times": KNEE,
        "pictures": study.pictures,
        "failed": study.failed,
        "busiest": study.busiest,
        "links": {name: str(PROFILES[name]) for name in study.links},
        "ms": ink.milliseconds,
    }


def headline(study: Study, link: str) -> dict[str, Any] | None:
    """Us against the dearest JPEG and, if measured, the rival of equal accuracy; None without either side."""
    contenders = dict(study.contenders(link))
    ours = contenders.pop("Overtone", None)
    jpegs = [(title, pool) for title, pool in contenders.items() if title.startswith("JPEG")]
    if ours is None or not jpegs:
        return None
    against = [max(jpegs, key=lambda found: found[1].mean("payload"))]
    against += [(t, pool) for t, pool in contenders.items() if pool.point.rival == study.plan.equal]
    return {
        "link": link,
        "title": ink.link_title(link),
        "latency": ours.latency(50),
        "bytes": ours.mean("up"),
        "against": [
            {
                "title": title,
                "latency": ours.latency(50) / pool.latency(50),
                "bytes": ours.mean("up") / pool.mean("up"),
            }
            for title, pool in against
        ],
    }


def rows(study: Study, link: str) -> list[dict[str, Any]]:
    """The contenders on a link, as table rows; ratios are ours over theirs."""
    contenders = study.contenders(link)
    ours = contenders[0][1] if contenders and contenders[0][0] == "Overtone" else None
    return [
        {
            "title": title,
            "n": pool.n,
            "p50": pool.latency(50),
            "p95": pool.latency(95),
            "p99": pool.latency(99),
            "encode": pool.mean("encode_ms"),
            "payload": pool.mean("payload"),
            "up": pool.mean("up"),
            "down": pool.mean("down"),
            "latency_ratio": ours.latency(50) / pool.latency(50) if ours else None,
            "bytes_ratio": ours.mean("up") / pool.mean("up") if ours else None,
        }
        for title, pool in contenders
    ]


def verdict_row(verdict: Verdict) -> dict[str, Any]:
    """A line of the policies' table."""
    return {
        "link": verdict.link,
        "latency": verdict.latency,
        "up": verdict.up,
        "best": verdict.best,
        "ratio": verdict.auto_to_best,
        "bytes_ratio": verdict.auto_bytes_to_best,
        "near": verdict.auto_to_best <= 1 + NEAR,
    }


def fleet_row(pool: Pool) -> dict[str, Any]:
    """A line of the devices' table."""
    return {
        "devices": pool.point.devices,
        "p50": pool.latency(50),
        "p95": pool.latency(95),
        "rate": pool.rate,
        "queue": pool.mean("queue_ms"),
        "busy": pool.busy,
    }


def _knee(fleets: Sequence[Pool]) -> dict[str, Any] | None:
    found = knee(fleets) if len(fleets) > 1 else None
    return fleet_row(found) if found else None
