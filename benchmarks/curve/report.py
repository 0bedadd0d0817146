"""What `overtone bench bytes` found, as tables for people, as Markdown, and as the page in docs/."""

import json
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

from rich.console import Console
from rich.table import Table

from overtone.benchmarks.curve.delta_rate import Point, frontier
from overtone.benchmarks.curve.figure import draw_both
from overtone.benchmarks.curve.verdict import BEST
from overtone.training.markdown import table

Document = dict[str, Any]
Rows = list[Sequence[str]]

HEADS = {
    "payload": "payload",
    "wire": "wire, our session",
    "post": "wire, rivals by HTTP",
    "bare": "rivals without containers",
}
FRAMED = {
    "image": "a picture in our session, with its answer",
    "high": "more where high is asked for",
    "post": "a picture posted over HTTP/1.1, with its answer",
}
LOGGED = "bytes-imagenette.json"


class ReportError(ValueError):
    """A log that is missing or cannot be read."""


def rivals(found: Document) -> list[str]:
    """Names of the rivals, in order."""
    return list(dict.fromkeys(row["rival"] for row in found["rivals"]))


def show(found: Document, console: Console) -> None:
    """All tables, and the number."""
    title = f"{found['checkpoint']} against rivals on {found['n']} pictures of {found['data']}"
    _show(console, title, _points_table(found), left=2)
    _show(console, "bytes beside a payload", _framing_table(found))
    _show(console, "our bytes over theirs at equal top-1, and 95 % intervals", _ratio_table(found))
    console.print(number(found), soft_wrap=True, highlight=False)


def _show(console: Console, title: str, content: tuple[Sequence[str], Rows], left: int = 1) -> None:
    drawn = Table(title=title, title_justify="left")
    head, rows = content
    for i, name in enumerate(head):
        drawn.add_column(name, justify="left" if i < left else "right")
    for row in rows:
        drawn.add_row(*row)
    console.print(drawn)


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
    """The number and all tables."""
    return "\n\n".join(_parts(found).values()) + "\n"


def _parts(found: Document) -> dict[str, str]:
    """In Markdown, by name."""
    return {
        "number": number(found),
        "ratios": table(*_ratio_table(found)),
        "points": table(*_points_table(found), left=2),
        "framing": table(*_framing_table(found)),
    }


def _framing_table(found: Document) -> tuple[Sequence[str], Rows]:
    """What a picture costs beside its payload."""
    rows: Rows = []
    for name, what in FRAMED.items():
        framing = found["overhead"][name]
        rows.append((what, f"{framing['up']:.0f}", f"{framing['down']:.0f}"))
    return ("beside a payload, bytes of TCP payload", "up", "down"), rows


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


def render_logged(docs: Path = Path("docs")) -> list[Path]:
    """Write bytes.md and its figures again, from the log in docs/runs and the page's template.

    Raises:
        ReportError: no log or template; a damaged log.
    """
    page = docs / "bytes.md"
    page.write_text(render(docs), "utf-8")
    return [page, *draw_both(_log(docs), docs / "images" / "bytes-imagenette.png")]


def render(docs: Path) -> str:
    """The page.

    Raises:
        ReportError: as `render_logged`.
    """
    found, template = _log(docs), _read(docs / "bytes.template.md")
    try:
        return Template(template).substitute(_parts(found) | _facts(found))
    except (ValueError, LookupError) as error:
        raise ReportError(f"{docs / 'bytes.template.md'} and its log do not fit ({error!r})") from None


def _log(docs: Path) -> Document:
    path = docs / "runs" / LOGGED
    try:
        found: Document = json.loads(_read(path))
    except ValueError as error:
        raise ReportError(f"{path}: cannot be read ({error})") from None
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise ReportError(f"{path}: no such file; --logged is for the project's own folder") from None


def _facts(found: Document) -> dict[str, str]:
    """Numbers that the page says in passing."""
    macs = {f"macs_{name}": f"{value / 1e9:.3f}" for name, value in found["macs"].items()}
    return macs | {key: f"{found[key]:,}" for key in ("n", "calibrated_on", "rival_size")}
