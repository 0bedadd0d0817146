"""The output of a demo while it runs: a line for each answered image, and the totals so far."""

from typing import Self

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from overtone.benchmarks.demo.summary import accuracy, answered_after, shares_line
from overtone.edge_client.output import Line

NUMBERS = (
    ("sure", 6),
    ("stage", 7),
    ("layers", 6),
    ("payload", 7),
    ("link up", 7),
    ("latency", 8),
    ("JPEG", 7),
)
STAGES = {"low": ("low", ""), "high": ("▲ high", "cyan"), "brownout": ("▼ busy", "yellow")}


class Scoreboard:
    """A growing table; on a terminal, a line with the totals below it changes as answers come."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._rows: list[Line] = []
        self._live = Live("", console=console, transient=True, refresh_per_second=8)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def add(self, row: Line) -> None:
        """Print an image's line, and update the totals."""
        if not self._rows:
            self._console.print(_table(None))
        self._rows.append(row)
        self._console.print(_table(row))
        self._live.update(self._totals())

    def _totals(self) -> Text:
        correct = accuracy(self._rows)
        parts = [
            f"{len(self._rows)} of {self._total}",
            *([f"{correct:.1%} correct"] if correct is not None else []),
            f"after layer {shares_line(answered_after(self._rows))}",
            f"{np.mean([row.payload_bytes for row in self._rows]):,.0f} bytes per image",
            f"JPEG {np.mean([row.jpeg_bytes for row in self._rows]):,.0f}",
        ]
        return Text(" · ".join(parts), style="bold")


def _table(row: Line | None) -> Table:
    """One line of the table, or its heading; all have the same widths."""
    table = Table(
        box=None,
        show_header=row is None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        expand=True,
        header_style="dim",
    )
    table.add_column("image", ratio=3, no_wrap=True, overflow="ellipsis")
    table.add_column("", width=1)
    table.add_column("answer", ratio=2, no_wrap=True, overflow="ellipsis")
    for name, width in NUMBERS:
        table.add_column(name, width=width, no_wrap=True, justify="right")
    if row is not None:
        table.add_row(*_cells(row))
    return table


def _cells(row: Line) -> list[str | Text]:
    correct = None if row.truth is None else row.truth == row.label
    mark, style = {True: ("✓", "green"), False: ("✗", "red"), None: ("", "")}[correct]
    return [
        "/".join(row.path.split("/")[-2:]),
        Text(mark, style=style),
        Text(row.label, style=style),
        "" if row.confidence is None else f"{row.confidence:.0%}",
        Text(*STAGES[row.stage]),
        f"{row.layers}",
        f"{row.payload_bytes:,}",
        f"{row.link_bytes_up:,}",
        f"{row.latency_ms:,.0f} ms",
        Text(f"{row.jpeg_bytes:,}", style="dim"),
    ]
