"""docs/load.md and its pictures, from a sweep's results kept in docs/runs: `python -m overtone.benchmarks.sweep.docs`.

Given a results file, as `overtone bench sweep` writes it, that is kept first. The words stand in
docs/load.template.md.
"""

import json
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from PIL import Image
from rich.console import Console

from overtone.benchmarks.sweep import findings, ink
from overtone.benchmarks.sweep.figures import timeline
from overtone.benchmarks.sweep.findings import Headline, Taken
from overtone.benchmarks.sweep.link_figures import links
from overtone.benchmarks.sweep.report import equal_words
from overtone.benchmarks.sweep.runs import RUN, Book
from overtone.benchmarks.sweep.study import ASKED, FIXED_POLICIES, OURS, Study, Verdict
from overtone.training.markdown import table

DOCS = Path(__file__).resolve().parents[2] / "docs"
LOG, TEMPLATE, PAGE = "sweep-imagenette.jsonl", "load.template.md", "load.md"
MISSING = (
    'Nothing has been logged yet: `make bench ARGS="--data DIR"` on an idle machine, then\n'
    "`python -m overtone.benchmarks.sweep.docs runs/sweep/results.jsonl`."
)
# Of a picture's milliseconds and bytes; a tenth is finer than any machine repeats itself.
DIGITS = 1
# Of the pictures: as many as anybody sees in them, at a third of the bytes.
COLOURS = 64


def keep(results: Path, log: Path) -> None:
    """Keep of a results file what its last plan asked for, rounded.

    Raises:
        ValueError: it holds no results.
    """
    if not results.is_file():
        raise ValueError(f"{results}: no such file; `overtone bench sweep` writes it")
    book = Book(results)
    study = Study(book)
    wanted = {run.key for run in study.results}
    lines = [study.about, *(line for line in book.lines(RUN) if line["key"] in wanted), *study.timelines]
    text = "".join(json.dumps(_rounded(line), separators=(",", ":")) + "\n" for line in lines)
    log.write_text(text, "utf-8")


def _rounded(line: dict[str, Any]) -> dict[str, Any]:
    if line["type"] != RUN:
        return line
    columns = {
        name: [round(value, DIGITS) if isinstance(value, float) else value for value in values]
        for name, values in line["columns"].items()
    }
    return line | {"columns": columns}


def render(template: str, log: Path) -> str:
    """The page."""
    return Template(template).substitute(measured=measured(Study(Book(log))) if log.is_file() else MISSING)


def measured(study: Study) -> str:
    """Headline and policies in tables and sentences, and what they were measured on."""
    return "\n\n".join([*_headline(study), *_policies(study), _foot(study)])


def _headline(study: Study) -> list[str]:
    found = findings.headlines(study)
    head = ("link", "who", "median", "p95", "bytes up", "our median", "our p95", "our bytes")
    rows = [row for headline in found for row in _rows(headline)]
    goals = [
        f"- {ink.link_name(each.link)}, {each.title}: {each.verdict}"
        for headline in found
        for each in headline.against
        if each.verdict
    ]
    note = f"Our median, p95 and bytes are Overtone's over the rival's. {equal_words(study)}"
    images = "![Latency by link](images/load-links.png)"
    return [table(head, rows, left=2), "\n".join(goals), note, images]


def _rows(headline: Headline) -> list[tuple[str, ...]]:
    own = [(f"**{OURS}**", headline.ours)] + ([(ASKED, headline.asked)] if headline.asked else [])
    rivals = [
        (each.title, Taken(each.theirs_p50, each.theirs_p95, each.theirs_bytes), each)
        for each in headline.against
    ]
    rows = [(*_cells(title, taken), "", "", "") for title, taken in own]
    rows += [
        (*_cells(title, taken), *(f"×{share:.2f}" for share in (each.p50, each.p95, each.bytes)))
        for title, taken, each in rivals
    ]
    return [(ink.link_title(headline.link) if i == 0 else "", *row) for i, row in enumerate(rows)]


def _cells(title: str, taken: Taken) -> tuple[str, ...]:
    return title, ink.milliseconds(taken.p50), ink.milliseconds(taken.p95), f"{taken.bytes:,.0f}"


def _policies(study: Study) -> list[str]:
    verdicts = study.verdicts()
    if not verdicts:
        return []
    head = ("mean latency, bytes up", *FIXED_POLICIES, "auto", "auto to best", "in vain", "saved")
    words = "\n".join(f"- {findings.judgement(verdict)}" for verdict in verdicts)
    return [
        "### The policies, judged",
        findings.summing_up(verdicts),
        table(head, [_policy_row(verdict) for verdict in verdicts]),
        "In bold the best: the fastest fixed policy that saves at least as much time as the link spends on "
        "high in vain. *In vain* and *saved* are auto's, milliseconds a picture.",
        words,
        "### One escalated picture",
        "![Time-line of one escalated picture](images/load-timeline.png)",
    ]


def _policy_row(verdict: Verdict) -> tuple[str, ...]:
    def cell(name: str) -> str:
        if name not in verdict.latency:
            return ""
        text = f"{ink.milliseconds(verdict.latency[name])}, {verdict.up[name]:,.0f}"
        return f"**{text}**" if name == verdict.best else text

    return (
        ink.link_name(verdict.link),
        *map(cell, (*FIXED_POLICIES, "auto")),
        f"{verdict.auto_to(verdict.best) - 1:+.1%}",
        f"{verdict.vain['auto']:,.0f} ms",
        f"{verdict.saved('auto'):,.0f} ms",
    )


def _foot(study: Study) -> str:
    about, machine = study.about, study.about["machine"]
    return (
        f"{study.pictures:,} pictures were answered and {study.failed:,} were not; {about['model']} on "
        f"{machine['processor']}, {machine['cores']} cores, load {study.crowd} when it began, "
        f"{machine['when']}. Server, links and devices shared the machine; the generator took at most "
        f"{study.busiest:.0%} of a core."
    )


def draw(log: Path, folder: Path) -> list[Path]:
    """The README's pictures."""
    study, written = Study(Book(log)), []
    with TemporaryDirectory() as temporary:
        for name, make in (("links", links), ("timeline", timeline)):
            if make(study, Path(temporary)) is not None:
                written.append(folder / f"load-{name}.png")
                with Image.open(Path(temporary) / f"{name}.png") as picture:
                    picture.convert("RGB").quantize(COLOURS).save(written[-1], optimize=True)
    return written


def main(
    results: Annotated[Path | None, typer.Argument(help="results.jsonl of a sweep, to be kept.")] = None,
) -> None:
    """Write the page, and with results the log and the pictures too."""
    console = Console(highlight=False, soft_wrap=True)
    log = DOCS / "runs" / LOG
    try:
        if results is not None:
            keep(results, log)
        text = render((DOCS / TEMPLATE).read_text("utf-8"), log)
    except (ValueError, OSError) as error:
        console.print(f"overtone: {error}", style="red", markup=False)
        raise typer.Exit(1) from None
    (DOCS / PAGE).write_text(text, "utf-8")
    drawn = draw(log, DOCS / "images") if log.is_file() else []
    for path in (DOCS / PAGE, *drawn):
        console.print(f"wrote {path}")


if __name__ == "__main__":
    typer.run(main)
