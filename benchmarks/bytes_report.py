"""What `overtone bench bytes` found, as a table for people, as Markdown, and as a figure."""

import json
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter
from rich.console import Console
from rich.table import Table

from benchmarks.curve import Point, frontier
from benchmarks.verdict import BEST
from training.markdown import table
from training.style import CASCADE, FAINT, figure, percent

Document = dict[str, Any]
Rows = list[Sequence[str]]

COLOURS = {
    "JPEG": "#E69F00",
    "WebP": "#0072B2",
    "AVIF": "#D55E00",
    "JPEG XL": "#CC79A7",
    "progressive JPEG, cut": "#8A8A8A",
    "24 channels at once": "#56B4E9",
}
TICKS = (250, 350, 500, 700, 1000, 1400, 2000, 2800, 4000)
HEADS = {
    "payload": "payload",
    "wire": "wire, our session",
    "post": "wire, rivals by HTTP",
    "bare": "rivals without containers",
}
# Of top-1, shown below our own lowest.
BELOW = 0.15
LOGGED = "bytes-imagenette.json"


class ReportError(ValueError):
    """A log that is missing or cannot be read."""


def rivals(found: Document) -> list[str]:
    """Names of the rivals, in order."""
    return list(dict.fromkeys(row["rival"] for row in found["rivals"]))


def show(found: Document, console: Console) -> None:
    """Both tables, and the number."""
    title = f"{found['checkpoint']} against rivals on {found['n']} pictures of {found['data']}"
    for text, head, rows in ((title, *_points_table(found)), ("our bytes over theirs", *_ratio_table(found))):
        drawn = Table(title=text, title_justify="left")
        for i, name in enumerate(head):
            drawn.add_column(name, justify="left" if i < 2 and text == title else "right" if i else "left")
        for row in rows:
            drawn.add_row(*row)
        console.print(drawn)
    console.print(number(found), soft_wrap=True, highlight=False)


def number(found: Document) -> str:
    """The one number, in a sentence."""
    line = next((r for r in found["ratios"] if (r["rival"], r["measure"]) == (BEST, "payload")), None)
    if line is None:
        return "No top-1 is reached by both, so there is no ratio."
    return (
        f"At equal top-1 we send {line['ratio']:.2f} times the bytes of the best rival (95 % interval "
        f"{line['lower']:.2f} to {line['upper']:.2f}), payload for payload, a mean over top-1 from "
        f"{line['from_top1']:.1%} to {line['to_top1']:.1%}."
    )


def markdown(found: Document) -> str:
    """The number and both tables."""
    head, rows = _points_table(found)
    ratios = table(*_ratio_table(found))
    return "\n\n".join([number(found), ratios, table(head, rows, left=2)]) + "\n"


def _ratio_table(found: Document) -> tuple[Sequence[str], Rows]:
    """A line a rival, a column a measure."""
    by = {(row["rival"], row["measure"]): row for row in found["ratios"]}
    names = [BEST, *rivals(found)]
    rows: Rows = [[name, *(_ratio(by.get((name, measure))) for measure in HEADS)] for name in names]
    return ("ours over", *HEADS.values()), rows


def _ratio(row: Document | None) -> str:
    return "" if row is None else f"{row['ratio']:.2f} ({row['lower']:.2f} to {row['upper']:.2f})"


def _points_table(found: Document) -> tuple[Sequence[str], Rows]:
    """The frontier of each, a line a setting."""
    head = "who", "setting", "top-1", "payload", "wire", "wire by HTTP", "bare"
    lines = [*(("Overtone", row) for row in found["ours"]), *((r["rival"], r) for r in found["rivals"])]
    rows: Rows = []
    for who in dict.fromkeys(name for name, _ in lines):
        for row in _frontier([row for name, row in lines if name == who]):
            rows.append((who, _setting(row), f"{row['top1']:.2%}", *_counts(row, who)))
    return head, rows


def _counts(row: Document, who: str) -> Sequence[str]:
    own = who in ("Overtone", "24 channels at once")
    last = ("", "") if own else (f"{row['post']:.0f}", f"{row['bare']:.0f}")
    return f"{row['bytes']:.0f}", f"{row['wire']:.0f}", *last


def _setting(row: Document) -> str:
    if "threshold" in row:
        return f"quality {row['quality']}, {row['exit_share']:.0%} from low"
    if "side" not in row:
        return f"quality {row['quality']}"
    kept = f", first {row['kept']} bytes" if "kept" in row else ""
    return f"{row['side']} px, quality {row['quality']}{kept}"


def _frontier(rows: Sequence[Document], measure: str = "bytes") -> list[Document]:
    return [dict(p.settings) for p in frontier(Point(row[measure], row["top1"], row) for row in rows)]


def draw(found: Document, path: Path) -> None:
    """Top-1 against bytes on a logarithmic axis: payloads, and on the wire."""
    note = (
        f"{found['n']} pictures of {found['data']}. Every setting was chosen on {found['calibrated_on']} "
        "others. Dashed: without containers, ours still whole.\n"
        "Wire: both ways, in messages of our session, TCP/IP headers and acknowledgements included."
    )
    with figure(path, 11, 5.6, f"Accuracy against bytes: {found['checkpoint']}", note) as drawn:
        left, right = drawn.subplots(1, 2, sharey=True)
        _panel(left, found, "bytes", "mean payload bytes per picture")
        _panel(right, found, "wire", "mean bytes on the wire per picture")
        # What rivals do far below anything of ours says nothing here.
        left.set(ylabel="top-1", ylim=(min(row["top1"] for row in found["ours"]) - BELOW, None))
        percent(left, "y")
        left.legend(loc="lower right")


def _panel(axes: Axes, found: Document, measure: str, label: str) -> None:
    for name in rivals(found):
        rows = [row for row in found["rivals"] if row["rival"] == name]
        _line(axes, rows, measure, COLOURS.get(name, FAINT), name)
        if measure == "bytes" and name in ("JPEG", "WebP", "AVIF"):
            _line(axes, rows, "bare", COLOURS[name], "", linestyle="--", marker="", linewidth=1)
    _line(axes, found["ours"], measure, CASCADE, "Overtone", linewidth=3, markersize=7, zorder=5)
    axes.set(xscale="log", xlabel=label)
    axes.set_xticks([t for t in TICKS if axes.get_xlim()[0] <= t <= axes.get_xlim()[1]])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _line(axes: Axes, rows: Sequence[Document], measure: str, colour: str, label: str, **style: Any) -> None:
    curve = _frontier(rows, measure)
    look: dict[str, Any] = {"marker": "o", "markersize": 4, "linewidth": 1.5} | style
    axes.plot([r[measure] for r in curve], [r["top1"] for r in curve], color=colour, label=label, **look)


def render_logged(docs: Path = Path("docs")) -> list[Path]:
    """Write bytes.md and its figure again, from the log in docs/runs and the page's template.

    Raises:
        ReportError: no log or template; a damaged log.
    """
    log, page = docs / "runs" / LOGGED, docs / "bytes.template.md"
    try:
        found = json.loads(log.read_text("utf-8"))
        facts = {"results": markdown(found).rstrip()} | _facts(found)
        text = Template(page.read_text("utf-8")).substitute(facts)
    except FileNotFoundError as error:
        raise ReportError(
            f"{error.filename}: no such file; --logged is for the project's own folder"
        ) from None
    except (ValueError, LookupError) as error:
        raise ReportError(f"{log}: cannot be read ({error})") from None
    written = [docs / "bytes.md", docs / "images" / "bytes-imagenette.png"]
    written[0].write_text(text, "utf-8")
    draw(found, written[1])
    return written


def _facts(found: Document) -> dict[str, str]:
    """Numbers that the page says in passing."""
    o, m = found["overhead"], found["macs"]
    facts = {f"{name}_{way}": f"{o[name][way]:.0f}" for name in o for way in ("up", "down")}
    return facts | {f"macs_{name}": f"{value / 1e9:.3f}" for name, value in m.items()}
