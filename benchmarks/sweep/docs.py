"""The tables and figures of docs/load.md, from the logs of sweeps: `python -m overtone.benchmarks.sweep.docs`.

Given the results file of a sweep, it is first copied to docs/runs as the log; with `--streams`, as the log of streams.
Where there is no log of streams, and none in the other, the page says nothing about them.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from PIL import Image

from overtone import command
from overtone.benchmarks import pages
from overtone.benchmarks import plot_style as style
from overtone.benchmarks.load.baseline import Baseline
from overtone.benchmarks.markdown import table
from overtone.benchmarks.sweep.economy import cell, economies, titles
from overtone.benchmarks.sweep.economy_figure import economy
from overtone.benchmarks.sweep.figures import timeline
from overtone.benchmarks.sweep.headline import Figures, Headline, headlines
from overtone.benchmarks.sweep.link_figures import links
from overtone.benchmarks.sweep.results import ResultFile, rounded
from overtone.benchmarks.sweep.study import FIXED_POLICIES, ON_DEMAND, OURS, PolicyComparison, Study

DOCS = Path(__file__).resolve().parents[2] / "docs"
LOG = DOCS / "runs" / "sweep-imagenette.jsonl"
STREAM_LOG = DOCS / "runs" / "stream-imagenette.jsonl"
PAGE = DOCS / "load.md"
DIGITS = 1
# Enough to look the same, at a third of the bytes.
PALETTE = 64
ECONOMY = """### What bytes buy

{table}

{against}[How to read the report](#how-to-read-the-report) explains the lines. Energy is computed, see `link/radio.py`.
Measured with the checkpoint `{model}` on {processor}, {cores} cores, load {load} before the sweep, {when}:
{images} images answered, {failed} failed.

![What bytes buy, by link](images/load-economy.png)"""


def keep(results: Path, log: Path) -> None:
    """Copy what the last plan of a results file asked for, rounded.

    Raises:
        ValueError: there are no results in it.
    """
    if not results.is_file():
        raise ValueError(f"{results}: no such file; `overtone bench sweep` writes it")
    study = Study(ResultFile(results))
    runs = [result.line() for pool in study.pools.values() for result in pool.results]
    for run in runs:
        run["columns"] = rounded(run["columns"], DIGITS)
    lines = [study.about, *runs, *study.timelines]
    log.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines), "utf-8")


def streams(study: Study, log: Path) -> Study:
    """The study that has the streams: of their own log if there is one, else the page's."""
    return Study(ResultFile(log)) if log.is_file() else study


def tables(study: Study, streamed: Study) -> dict[str, str]:
    """The tables of the page in Markdown, by name.

    Args:
        study: the sweep.
        streamed: the one that has streams; if it has none, their section is empty.
    """
    return {
        "results": table(
            (
                "link",
                "who",
                "median",
                "p95",
                "bytes up",
                "our median",
                "our p95",
                "our bytes",
                "goal",
                "least",
            ),
            [row for each in headlines(study) for row in _headline(each)],
            left=2,
        ),
        "equal accuracy": _equal(study),
        "policies": table(
            ("mean latency, bytes up", *FIXED_POLICIES, "auto", "auto to best", "wasted", "saved", "unused"),
            map(_policies, study.policies()),
        ),
        "conditions": _conditions(study),
        "what bytes buy": _economy(streamed),
    }


def _headline(headline: Headline) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [(f"**{OURS}**", *_figures(headline.ours), *[""] * 5)]
    if headline.on_demand:
        rows.append((ON_DEMAND, *_figures(headline.on_demand), *[""] * 5))
    for each in headline.against:
        ratios = (f"×{share:.2f}" for share in (each.ratio.p50, each.ratio.p95, each.ratio.bytes))
        goal = ("", "") if each.goal is None else (f"×{each.goal:.2f}", f"×{each.least:.2f}")
        rows.append((each.title, *_figures(each.theirs), *ratios, *goal))
    return [(style.link_title(headline.link) if i == 0 else "", *row) for i, row in enumerate(rows)]


def _figures(figures: Figures) -> Iterator[str]:
    yield style.milliseconds(figures.p50)
    yield style.milliseconds(figures.p95)
    yield f"{figures.bytes:,.0f}"


def _equal(study: Study) -> str:
    found = study.about.get("equal")
    name = Baseline.parse(study.plan.equal).title if study.plan.equal else ""
    measured = (
        (f"{found['theirs']:.1%}", f"{found['ours']:.1%}", f"{found['n']:,}") if found else ("", "", "")
    )
    head = ("upload of equal accuracy", "top-1", "Overtone's top-1", "calibration images")
    return table(head, [(name, *measured)])


def _policies(compared: PolicyComparison) -> Sequence[str]:
    def cell(name: str) -> str:
        if name not in compared.latency:
            return ""
        text = f"{style.milliseconds(compared.latency[name])}, {compared.up[name]:,.0f}"
        return f"**{text}**" if name == compared.best else text

    return (
        style.link_name(compared.link),
        *map(cell, (*FIXED_POLICIES, "auto")),
        f"{compared.auto_to(compared.best) - 1:+.1%}",
        f"{compared.wasted['auto']:,.0f} ms",
        f"{compared.saved('auto'):,.0f} ms",
        f"{compared.unused['auto']:.0%}",
    )


def _conditions(study: Study) -> str:
    machine = study.about["machine"]
    rows = [
        ("images answered, and failed", f"{study.images:,}, {study.failed:,}"),
        ("model", study.about["model"]),
        ("machine", f"{machine['processor']}, {machine['cores']} cores, load {study.load} before the sweep"),
        ("when", machine["when"]),
        ("busiest moment of the generator", f"{study.busiest:.0%} of a core"),
    ]
    return table(("measured on", ""), rows)


def _economy(study: Study) -> str:
    """A section, because without streams there is nothing to say."""
    found = economies(study)
    if not found:
        return ""
    contenders = titles(found)
    rows = [
        (
            "" if i else style.link_title(each.link),
            measure.title,
            *(cell(each, t, measure) for t in contenders),
        )
        for each in found
        for i, measure in enumerate(each.measures)
    ]
    machine, rivals = study.about["machine"], " and by that of ".join(found[-1].rivals)
    return ECONOMY.format(
        table=table(("link", "", *contenders), rows, left=2),
        against=f"In brackets: the value divided by that of {rivals}. " if rivals else "",
        images=f"{study.images:,}",
        failed=f"{study.failed:,}",
        model=study.about["model"],
        processor=machine["processor"],
        cores=machine["cores"],
        load=study.load,
        when=machine["when"],
    )


def draw(study: Study, streamed: Study, folder: Path) -> list[Path]:
    """The figures of the README and of the page."""
    written = []
    with TemporaryDirectory() as temporary:
        makers = (("links", links, study), ("timeline", timeline, study), ("economy", economy, streamed))
        for name, make, source in makers:
            if make(source, Path(temporary)) is not None:
                written.append(folder / f"load-{name}.png")
                with Image.open(Path(temporary) / f"{name}.png") as image:
                    image.convert("RGB").quantize(PALETTE).save(written[-1], optimize=True)
    return written


def main(
    results: Annotated[
        Path | None, typer.Argument(help="results.jsonl of a sweep, to be kept as the log.")
    ] = None,
    stream_results: Annotated[
        Path | None,
        typer.Option(
            "--streams", help="results.jsonl of the plan `stream`, to be kept as the log of streams."
        ),
    ] = None,
) -> None:
    """Write the tables and figures of docs/load.md again."""

    def action() -> None:
        for given, log in ((results, LOG), (stream_results, STREAM_LOG)):
            if given is not None:
                keep(given, log)
        study = Study(ResultFile(LOG))
        streamed = streams(study, STREAM_LOG)
        pages.fill(PAGE, tables(study, streamed))
        for path in (PAGE, *draw(study, streamed, DOCS / "images")):
            print(f"wrote {path}")

    command.call("sweep.docs", "bench,train", action)


if __name__ == "__main__":
    typer.run(main)
