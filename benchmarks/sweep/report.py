"""The report of a sweep: one page that needs nothing else, and its pictures as PNGs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from overtone.benchmarks.link.profiles import PROFILES
from overtone.benchmarks.load.upload import Rival
from overtone.benchmarks.sweep import figures, findings, ink, link_figures
from overtone.benchmarks.sweep.runs import Book
from overtone.benchmarks.sweep.study import KNEE, OURS, Pool, Study, Verdict, knee

TEMPLATE = Path(__file__).parent / "report.html"
PAGE = "report.html"
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
    environment.filters["link_name"] = ink.link_name
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    drawn = {name: Markup(svg) for name, svg in figures.draw(study, folder).items()}
    page = folder / PAGE
    page.write_text(template.render(figures=drawn, **content(study)), encoding="utf-8")
    return page


def content(study: Study) -> dict[str, Any]:
    """What the page says, beside its pictures."""
    verdicts = study.verdicts()
    return {
        "title": study.plan.title,
        "about": study.about,
        "plan": study.plan,
        "crowd": study.crowd,
        "crowded": study.crowd > CROWDED * study.about["machine"]["cores"],
        "headlines": findings.headlines(study),
        "equal": equal_words(study),
        "tables": [(ink.link_title(link), rows(study, link)) for link in study.links],
        "summing_up": findings.summing_up(verdicts) if verdicts else "",
        "verdicts": [verdict_row(verdict) for verdict in verdicts],
        "policies": [
            name for name in link_figures.POLICY_COLOURS if any(name in v.latency for v in verdicts)
        ],
        "fleets": [fleet_row(pool) for pool in study.fleets()],
        "knee": _knee(study.fleets()),
        "times": KNEE,
        "pictures": study.pictures,
        "failed": study.failed,
        "busiest": study.busiest,
        "links": {ink.link_name(name): str(PROFILES[name]) for name in study.links},
        "ms": ink.milliseconds,
        "link_title": ink.link_title,
        "link_name": ink.link_name,
    }


def equal_words(study: Study) -> str:
    """Which upload is called equally accurate, and who says so."""
    if not study.plan.equal:
        return ""
    title, told = Rival.parse(study.plan.equal).title, study.about.get("equal")
    head = f"The upload of equal accuracy is {title}"
    if not told:
        return f"{head}, by the plan, untested: python -m overtone.benchmarks.sweep.fair would find it."
    words = (
        f"{head}: {told['theirs']:.1%} right in front of an equally dear network trained on such pictures, "
        f"where Overtone has {told['ours']:.1%}, on the {told['n']:,} calibration pictures, none of which is "
        "among those sent here (python -m overtone.benchmarks.sweep.fair)."
    )
    short = " No setting that was tried is as accurate as Overtone; this is the nearest."
    return words if told["reached"] else words + short


def rows(study: Study, link: str) -> list[dict[str, Any]]:
    """The contenders on a link, as table rows; ratios are ours over theirs."""
    contenders = study.contenders(link)
    ours = contenders[0][1] if contenders and contenders[0][0] == OURS else None
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
            "ours": title.startswith(OURS),
            "latency_ratio": ours.latency(50) / pool.latency(50) if ours else None,
            "bytes_ratio": ours.mean("up") / pool.mean("up") if ours else None,
        }
        for title, pool in contenders
    ]


def verdict_row(verdict: Verdict) -> dict[str, Any]:
    """A line of the policies' table."""
    return {
        "link": ink.link_name(verdict.link),
        "latency": verdict.latency,
        "up": verdict.up,
        "best": verdict.best,
        "to_best": verdict.auto_to(verdict.best) - 1,
        "vain": verdict.vain["auto"],
        "saved": verdict.saved("auto"),
        "met": findings.met(verdict),
        "words": findings.judgement(verdict),
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
