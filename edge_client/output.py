"""What commands print of each image: for people a line of a table that grows, for programs JSON."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.table import Table
from rich.text import Text

from overtone.edge_client.answer import Answer
from overtone.edge_client.image_files import jpeg_bytes, truth


@dataclass(frozen=True)
class Row:
    """What is printed of one image; the names of the fields are the keys of the JSON.

    `truth` is None where the folder does not tell it. The bytes of the link are None where nobody counted them.
    """

    path: str
    label: str
    truth: str | None
    confidence: float
    stage: str
    layers: int
    payload_bytes: int
    link_bytes_up: int | None
    link_bytes_down: int | None
    latency_ms: float
    jpeg_bytes: int


def row(
    path: Path, answer: Answer, size: int, names: Mapping[str, str], link: tuple[int, int] | None = None
) -> Row:
    """The row of an image file that was answered; `link` holds the bytes up and down, where they were counted.

    Raises:
        BadImage: the file can no longer be read.
    """
    up, down = link or (None, None)
    return Row(
        path=str(path),
        label=answer.label,
        truth=truth(path, names),
        confidence=answer.confidence,
        stage=answer.stage,
        layers=answer.layers,
        payload_bytes=answer.bytes_sent,
        link_bytes_up=up,
        link_bytes_down=down,
        latency_ms=answer.timings.total_ms,
        jpeg_bytes=jpeg_bytes(path, size),
    )


@dataclass(frozen=True)
class Event:
    """What `overtone watch` prints of each image; the names of the fields are the keys of the JSON.

    `time` is that of the answer (UTC, ISO 8601); `path` is the address of the camera where there is no file.
    """

    time: str
    path: str
    label: str
    confidence: float
    stage: str
    layers: int
    payload_bytes: int
    latency_ms: float

    @classmethod
    def of(cls, path: str, answer: Answer) -> Self:
        """An image that was answered just now."""
        return cls(
            time=datetime.now(UTC).isoformat(timespec="milliseconds"),
            path=path,
            label=answer.label,
            confidence=answer.confidence,
            stage=answer.stage,
            layers=answer.layers,
            payload_bytes=answer.bytes_sent,
            latency_ms=answer.timings.total_ms,
        )

    def __str__(self) -> str:
        numbers = f"{self.confidence:.1%}  {self.stage}  {self.payload_bytes} B  {self.latency_ms:.0f} ms"
        return f"{self.time}  {self.path}  {self.label}  {numbers}"

    def to_json(self) -> str:
        """JSON on one line."""
        return json.dumps(asdict(self), ensure_ascii=False)


class Lines:
    """A table that is printed line by line, as answers come."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._begun = False

    def print(self, line: Row) -> None:
        """Print one image, the first time with the headings above it."""
        correct = None if line.truth is None else line.truth == line.label
        cells: list[str | Text] = [
            _shortened(line.path, self._widths()[0]),
            Text(line.label, style={True: "green", False: "red", None: ""}[correct]),
            f"{line.confidence:.1%}",
            Text(line.stage, style={"high": "cyan", "brownout": "yellow"}.get(line.stage, "")),
            f"{line.payload_bytes:,}",
            f"{line.latency_ms:.0f} ms",
            f"{line.jpeg_bytes:,}",
        ]
        self._console.print(self._table(cells))

    def _widths(self) -> tuple[int, int]:
        """The widths of the first two columns, which share what the numbers leave of the terminal."""
        left = max(16, self._console.width - 46)
        return left * 3 // 5, left - left * 3 // 5

    def _table(self, cells: Iterable[str | Text]) -> Table:
        table = Table(box=None, pad_edge=False, show_header=not self._begun, padding=(0, 1, 0, 0))
        image, answer = self._widths()
        table.add_column("image", width=image, no_wrap=True)
        table.add_column("answer", width=answer, no_wrap=True, overflow="ellipsis")
        table.add_column("sure", width=6, justify="right")
        table.add_column("stage", width=8)
        for heading, width in (("payload", 7), ("latency", 9), ("as JPEG", 8)):
            table.add_column(heading, width=width, no_wrap=True, justify="right")
        table.add_row(*cells)
        self._begun = True
        return table


def totals(rows: Sequence[Row]) -> Table:
    """How many images were answered after each layer, and the mean bytes and latency of these and of all."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("answered after")
    for heading in ("images", "share", "mean payload", "all payloads", "mean latency"):
        table.add_column(heading, justify="right", no_wrap=True)
    for layers in sorted({line.layers for line in rows}):
        _add_total(table, f"layer {layers}", [line for line in rows if line.layers == layers], len(rows))
    _add_total(table, "any", rows, len(rows))
    return table


def _add_total(table: Table, name: str, rows: Sequence[Row], total: int) -> None:
    size = sum(line.payload_bytes for line in rows)
    table.add_row(
        name,
        f"{len(rows):,}",
        f"{len(rows) / total:.1%}",
        f"{size / len(rows):,.0f}",
        f"{size:,}",
        f"{sum(line.latency_ms for line in rows) / len(rows):,.0f} ms",
    )


def document(rows: Iterable[Row]) -> dict[str, Any]:
    """The object that `--json` prints; some commands add keys of their own."""
    return {"images": [asdict(line) for line in rows]}


def _shortened(path: str, width: int) -> str:
    """The end of a path, which says more than its beginning."""
    return path if len(path) <= width else "…" + path[len(path) - width + 1 :]
