"""The results of `overtone bench bytes` as tables: on the console, in Markdown, and in docs/bytes.md."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from overtone.benchmarks import markdown as training_markdown
from overtone.benchmarks import pages
from overtone.benchmarks.curve import send_again
from overtone.benchmarks.curve.comparison import BEST
from overtone.benchmarks.curve.delta_rate import Point, frontier
from overtone.benchmarks.curve.figure import draw_both
from overtone.benchmarks.curve.ours import ALL_CHANNELS

Document = dict[str, Any]

MEASURES = {
    "payload": "payload",
    "bare": "payload, baselines without containers",
    "wire": "wire, all in the session",
    "post": "wire, baselines by HTTP",
}
FRAMING = {
    "image": "an image in Overtone's session, with its answer",
    "high": "in addition where more is requested",
    "post": "an image posted over HTTP/1.1, with its answer",
}
MACS = {
    "rival": "the baseline",
    "ours": "Overtone, average at the default operating point",
    "ours_low": "Overtone, answered from low",
    "ours_both": "Overtone, answered from both",
}
LOGS = "bytes-*.json"


class ReportError(ValueError):
    """A log that is missing or cannot be read."""


class Columns(NamedTuple):
    """A table: its title, its headings, of which the first `left` are aligned left, and its rows."""

    title: str
    head: Sequence[str]
    rows: list[Sequence[str]]
    left: int = 1


def tables(found: Document) -> dict[str, Columns]:
    """All tables of a document, by name."""
    return {
        "setup": _setup(found),
        "ratios": ratios(found),
        "points": points(found),
        "framing": framing(found),
    }


def show(shown: Mapping[str, Columns], console: Console) -> None:
    """Print tables."""
    for title, head, rows, left in shown.values():
        drawn = Table(title=title, title_justify="left")
        for i, name in enumerate(head):
            drawn.add_column(name, justify="left" if i < left else "right")
        for row in rows:
            drawn.add_row(*row)
        console.print(drawn)


def markdown(shown: Mapping[str, Columns]) -> str:
    """Tables in Markdown, under their titles."""
    return "\n".join(f"{table.title}\n\n{in_markdown(table)}\n" for table in shown.values())


def page_tables(found: Document, log: str) -> dict[str, str]:
    """All tables in Markdown, by the names that they have in docs/bytes.md: the log's, and their own."""
    return {f"{log} {name}": in_markdown(table) for name, table in tables(found).items()}


def in_markdown(table: Columns) -> str:
    """A table in Markdown, without its title."""
    return training_markdown.table(table.head, table.rows, table.left)


def render_logs(docs: Path = Path("docs")) -> list[Path]:
    """Write the tables of docs/bytes.md and its figures again, from the logs in docs/runs.

    Raises:
        ValueError: no log or page, or a damaged log.
    """
    page, written = docs / "bytes.md", []
    for path in logs(docs):
        found = read_log(path)
        pages.fill(page, page_tables(found, path.stem))
        written += draw_both(found, docs / "images" / f"{path.stem}.png")
    return [page, *written]


def logs(docs: Path) -> list[Path]:
    """The logs in docs/runs, one for each checkpoint that was compared.

    Raises:
        ReportError: there are none.
    """
    found = sorted((docs / "runs").glob(LOGS))
    if not found:
        raise ReportError(f"{docs / 'runs' / LOGS}: no such file; --logged is for the project's own folder")
    return found


def read_log(path: Path) -> Document:
    """A document that was written by the command.

    Raises:
        ReportError: it is damaged.
    """
    try:
        found: Document = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ReportError(f"{path}: cannot be read ({error})") from None
    return found


def _setup(found: Document) -> Columns:
    rows: list[Sequence[str]] = [
        (f"images of {found['data']}, on which all numbers are measured", f"{found['n']:,}"),
        ("images of train/ on which settings were chosen", f"{found['calibrated_on']:,}"),
        ("side of the baseline's network in pixels", f"{found['rival_size']:,}"),
    ]
    rows += [(f"G multiply-adds: {what}", f"{found['macs'][name] / 1e9:.3f}") for name, what in MACS.items()]
    return Columns("Setup", (found["checkpoint"], ""), rows)


def framing(found: Document) -> Columns:
    """The table of bytes besides payloads."""
    each = ((what, found["overhead"][name]) for name, what in FRAMING.items())
    rows: list[Sequence[str]] = [(what, f"{f['up']:.0f}", f"{f['down']:.0f}") for what, f in each]
    return Columns("Bytes of TCP payload besides a payload", ("besides the payload", "up", "down"), rows)


def ratios(found: Document, what: str = "top-1") -> Columns:
    """The table of ratios: a row per baseline, a column per measure; `what` names the accuracy."""
    cells = {
        (row["rival"], row["measure"]): f"{row['ratio']:.2f} ({row['lower']:.2f} to {row['upper']:.2f})"
        for row in found["ratios"]
    }
    names = dict.fromkeys([BEST, *(row["rival"] for row in [*found["rivals"], *found["ratios"]])])
    rows: list[Sequence[str]] = [[n, *(cells.get((n, measure), "") for measure in MEASURES)] for n in names]
    title = f"Overtone's bytes over theirs at equal {what}, and 95 % intervals"
    return Columns(title, ("Overtone over", *MEASURES.values()), rows)


def points(found: Document) -> Columns:
    """The table of frontiers of Overtone and of each baseline, a row per setting."""
    lines = [*(("Overtone", row) for row in found["ours"]), *((r["rival"], r) for r in found["rivals"])]
    return frontiers(lines, "top1", "top-1", _setting)


def frontiers(
    lines: Sequence[tuple[str, Document]], accuracy: str, what: str, setting: Callable[[Any], str]
) -> Columns:
    """The table of the frontiers of named rows; `accuracy` is the key of what is called `what` in the heading."""
    rows: list[Sequence[str]] = [
        (who, setting(point.settings), f"{point.accuracy:.2%}", *_counts(point.settings, who))
        for who in dict.fromkeys(name for name, _ in lines)
        for point in frontier(Point(row["bytes"], row[accuracy], row) for name, row in lines if name == who)
    ]
    head = "who", "setting", what, "payload", "wire", "wire by HTTP"
    title = f"{what[0].upper()}{what[1:]} and mean bytes per image on the frontiers"
    return Columns(title, head, rows, left=2)


def _counts(row: Any, who: str) -> Iterator[str]:
    yield f"{row['bytes']:.0f}"
    yield f"{row['wire']:.0f}"
    yield "" if who.startswith("Overtone") or who == ALL_CHANNELS else f"{row['post']:.0f}"


def _setting(row: Any) -> str:
    if "first" in row:
        return send_again.described(row)
    if "threshold" in row:
        # Logs of two layers have the share of the first alone.
        shares = row.get("shares", ())
        early = " + ".join(f"{share:.0%}" for share in shares[:-1]) or f"{row['exit_share']:.0%}"
        return f"quality {row['quality']}, {early} from low"
    side = f"{row['side']} px, " if "side" in row else ""
    kept = f", first {row['kept']} bytes" if "kept" in row else ""
    return f"{side}quality {row['quality']}{kept}"
