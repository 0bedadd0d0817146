"""The results of `overtone bench bytes --task detect` as tables: on the console, and in docs/bytes.md."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from overtone.benchmarks import pages
from overtone.benchmarks.curve.report import (
    Columns,
    Document,
    framing,
    frontiers,
    in_markdown,
    ratios,
    read_log,
)
from overtone.benchmarks.detect.figure import draw_both

LOGS = "detect-bytes-*.json"
PARAMETERS = {"rival": "the baseline", "low": "Overtone's low network", "high": "Overtone's high network"}


def tables(found: Document) -> dict[str, Columns]:
    """All tables of a document, by name."""
    return {
        "setup": _setup(found),
        "ratios": ratios(found, "AP50"),
        "points": _points(found),
        "framing": framing(found),
    }


def page_tables(found: Document, log: str) -> dict[str, str]:
    """Figures and tables of a log in Markdown, by the names of their markers in docs/bytes.md."""
    what = {"figure": "payload bytes", "wire": "bytes on the wire"}
    files = {"figure": f"{log}.png", "wire": f"{log}-wire.png"}
    figures = {name: f"![AP50 against {what[name]}](images/{file})" for name, file in files.items()}
    shown = figures | {name: in_markdown(table) for name, table in tables(found).items()}
    return {f"{log} {name}": text for name, text in shown.items()}


def render_logs(docs: Path = Path("docs")) -> list[Path]:
    """Write the tables of docs/bytes.md and its figures again, from the logs in docs/runs; there may be none.

    Raises:
        ValueError: no page, or a damaged log.
    """
    written = []
    for path in logs(docs):
        found = read_log(path)
        pages.fill(docs / "bytes.md", page_tables(found, path.stem))
        written += draw_both(found, docs / "images" / f"{path.stem}.png")
    return written


def logs(docs: Path) -> list[Path]:
    """The logs in docs/runs, one for each detector that was compared."""
    return sorted((docs / "runs").glob(LOGS))


def _setup(found: Document) -> Columns:
    rows: list[Sequence[str]] = [
        (f"pictures of {found['data']}, on which all numbers are measured", f"{found['n']:,}"),
        ("pictures of train/ on which settings were chosen", f"{found['calibrated_on']:,}"),
        ("side of the square that the baseline reads, in pixels", f"{found['rival_size']:,}"),
    ]
    rows += [
        (f"M parameters: {what}", f"{found['parameters'][name] / 1e6:.2f}")
        for name, what in PARAMETERS.items()
    ]
    return Columns("Setup", (f"{found['checkpoint']} against {found['rival']}", ""), rows)


def _points(found: Document) -> Columns:
    """The frontier of each kind of Overtone's ways, and of each baseline."""
    mine = [(f"Overtone, {row['kind']}", row) for row in found["ours"]]
    return frontiers([*mine, *((row["rival"], row) for row in found["rivals"])], "ap50", "AP50", _setting)


def _setting(row: Any) -> str:
    if "first" in row:
        first, second = (
            f"{s['codec']} {s['side']} px, quality {s['quality']}" for s in (row["first"], row["second"])
        )
        return f"{first}; then {second} {_asked(row)}"
    if "kind" in row:
        return f"quality {row['quality']}" + (f", {_asked(row)}" if "unsure" in row else "")
    return f"{row['side']} px, quality {row['quality']}"


def _asked(row: Any) -> str:
    """How much is asked for, and which scores are in doubt, for people."""
    doubt = f"{row['unsure']:g} to {min(row['sure'], 1):g}"
    return f"in {row['blocks']:.0%} of the blocks, of {row['asked']:.0%} (in doubt from {doubt})"
