"""The output of commands for each image: a row of a growing table for people, JSON for programs."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeAlias

from rich.console import Console
from rich.table import Table
from rich.text import Text

from overtone.edge_client.answer import Answer
from overtone.edge_client.detection import Detected
from overtone.edge_client.image_files import jpeg_bytes, truth


@dataclass(frozen=True)
class Row:
    """The printed row of one image; the names of the fields are the keys of the JSON.

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
class DetectedRow:
    """The printed row of one picture and its objects; the names of the fields are the keys of the JSON.

    `detections` are as in `Detection.to_json`. `drawn` is the file with the boxes, if one was written. The bytes of the
    link are None where nobody counted them.
    """

    path: str
    detections: Sequence[Mapping[str, Any]]
    stage: str
    layers: int
    confident: bool
    payload_bytes: int
    link_bytes_up: int | None
    link_bytes_down: int | None
    latency_ms: float
    jpeg_bytes: int
    drawn: str | None = None

    @property
    def label(self) -> str:
        """The objects by class, such as "2 person, dog"."""
        return _counted(self.detections)

    @property
    def confidence(self) -> float | None:
        """The largest probability of an object; None if there is none."""
        return _surest(self.detections)

    @property
    def truth(self) -> None:
        """Always None, as folders do not name the objects in their pictures."""
        return None


def _counted(detections: Iterable[Mapping[str, Any]]) -> str:
    counts = Counter(str(found["label"]) for found in detections)
    return ", ".join(f"{n} {label}" if n > 1 else label for label, n in counts.items()) or "nothing"


def _surest(detections: Iterable[Mapping[str, Any]]) -> float | None:
    return max((float(found["probability"]) for found in detections), default=None)


Line: TypeAlias = Row | DetectedRow


def detected_row(
    path: Path, answer: Detected, size: int, least: float = 0.0, drawn: Path | None = None
) -> DetectedRow:
    """The row of a picture file that was answered, with the objects whose probability is at least `least`.

    Raises:
        BadImage: the file can no longer be read.
    """
    return DetectedRow(
        path=str(path),
        detections=[found.to_json() for found in answer.above(least)],
        stage=answer.stage,
        layers=answer.layers,
        confident=answer.confident,
        payload_bytes=answer.bytes_sent,
        link_bytes_up=None,
        link_bytes_down=None,
        latency_ms=answer.timings.total_ms,
        jpeg_bytes=jpeg_bytes(path, size, "detect"),
        drawn=None if drawn is None else str(drawn),
    )


@dataclass(frozen=True)
class Event:
    """The line that `overtone watch` prints for each image; the names of the fields are the keys of the JSON.

    `time` is that of the answer (UTC, ISO 8601); `path` is the address of the camera where there is no file. For a
    detector, `detections` has the objects (see `Detection.to_json`), `label` counts them by class, and `confidence` is
    the largest probability; for a classifier the key `detections` is missing.
    """

    time: str
    path: str
    label: str
    confidence: float | None
    stage: str
    layers: int
    payload_bytes: int
    latency_ms: float
    detections: Sequence[Mapping[str, Any]] | None = None

    @classmethod
    def of(cls, path: str, answer: Answer | Detected, least: float = 0.0) -> Self:
        """The line of an image that was answered just now, with the objects whose probability is at least `least`."""
        found = None if isinstance(answer, Answer) else [each.to_json() for each in answer.above(least)]
        return cls(
            time=datetime.now(UTC).isoformat(timespec="milliseconds"),
            path=path,
            label=answer.label if isinstance(answer, Answer) else _counted(found or ()),
            confidence=answer.confidence if isinstance(answer, Answer) else _surest(found or ()),
            detections=found,
            stage=answer.stage,
            layers=answer.layers,
            payload_bytes=answer.bytes_sent,
            latency_ms=answer.timings.total_ms,
        )

    def __str__(self) -> str:
        sure = "" if self.confidence is None else f"{self.confidence:.1%}  "
        numbers = f"{sure}{self.stage}  {self.payload_bytes} B  {self.latency_ms:.0f} ms"
        return f"{self.time}  {self.path}  {self.label}  {numbers}"

    def to_json(self) -> str:
        """JSON on one line."""
        fields = asdict(self)
        if self.detections is None:
            del fields["detections"]
        return json.dumps(fields, ensure_ascii=False)


class Lines:
    """A table that is printed line by line, as answers come."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._begun = False

    def print(self, line: Line) -> None:
        """Print one image, the first time with the headings above it."""
        correct = None if line.truth is None else line.truth == line.label
        cells: list[str | Text] = [
            _shortened(line.path, self._widths()[0]),
            Text(line.label, style={True: "green", False: "red", None: ""}[correct]),
            "" if line.confidence is None else f"{line.confidence:.1%}",
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


def totals(rows: Sequence[Line]) -> Table:
    """How many images were answered after each layer, and the mean bytes and latency of these and of all."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("answered after")
    for heading in ("images", "share", "mean payload", "all payloads", "mean latency"):
        table.add_column(heading, justify="right", no_wrap=True)
    for layers in sorted({line.layers for line in rows}):
        _add_total(table, f"layer {layers}", [line for line in rows if line.layers == layers], len(rows))
    _add_total(table, "any", rows, len(rows))
    return table


def _add_total(table: Table, name: str, rows: Sequence[Line], total: int) -> None:
    size = sum(line.payload_bytes for line in rows)
    table.add_row(
        name,
        f"{len(rows):,}",
        f"{len(rows) / total:.1%}",
        f"{size / len(rows):,.0f}",
        f"{size:,}",
        f"{sum(line.latency_ms for line in rows) / len(rows):,.0f} ms",
    )


def document(rows: Iterable[Line]) -> dict[str, Any]:
    """The object that `--json` prints; some commands add keys of their own."""
    return {"images": [asdict(line) for line in rows]}


def _shortened(path: str, width: int) -> str:
    """The end of a path, which says more than its beginning."""
    return path if len(path) <= width else "…" + path[len(path) - width + 1 :]
