"""The results of a sweep as a file of JSON lines: a run is added when it is over, and can be found again."""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from overtone.benchmarks.load.fleet import Harvest
from overtone.benchmarks.sweep.plan import Point, Run

RUN, ABOUT, TIMELINE = "run", "about", "timeline"
# The columns of a run, one value a picture.
COLUMNS = (
    "latency_ms",
    "encode_ms",
    "stage",
    "right",
    "payload",
    "high",
    "up",
    "down",
    "queue_ms",
    "compute_ms",
)
DIGITS = 3


@dataclass(frozen=True)
class Result:
    """A run and what came of it: columns of equal length, a value an answered picture."""

    key: str
    run: Run
    columns: dict[str, list[Any]]
    errors: list[str]
    seconds: float
    setup_up: float
    setup_down: float
    busy: float
    load: float

    @classmethod
    def of(cls, key: str, run: Run, harvest: Harvest) -> Self:
        """From what a fleet brought home; `load` is the machine's load average then."""
        columns = {name: [getattr(shot, name) for shot in harvest.shots] for name in COLUMNS}
        return cls(
            key,
            run,
            columns,
            harvest.errors,
            harvest.seconds,
            harvest.setup_up,
            harvest.setup_down,
            harvest.busy,
            os.getloadavg()[0],
        )

    @classmethod
    def read(cls, line: dict[str, Any]) -> Self:
        """From a line of the file."""
        fields = {name: value for name, value in line.items() if name != "type"}
        run = fields.pop("run")
        return cls(run=Run(**{**run, "point": Point(**run["point"])}), **fields)

    def line(self) -> dict[str, Any]:
        """For the file."""
        return {"type": RUN, **asdict(self)}

    def column(self, name: str) -> NDArray[np.float64]:
        """A column of numbers."""
        return np.array(self.columns[name], dtype=np.float64)


class Book:
    """A file of results. A last line that a crash cut off is dropped when the file is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines = list(_read(path))

    @property
    def keys(self) -> frozenset[str]:
        """Of the runs and time-lines that are in it."""
        return frozenset(line["key"] for line in self._lines if "key" in line)

    def results(self) -> list[Result]:
        """All runs."""
        return [Result.read(line) for line in self._lines if line["type"] == RUN]

    def lines(self, kind: str) -> list[dict[str, Any]]:
        """All lines of a type."""
        return [line for line in self._lines if line["type"] == kind]

    def add(self, line: dict[str, Any]) -> None:
        """Write a line; it is on the disk when this returns."""
        line = _rounded(line)
        self._lines.append(line)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _read(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    whole = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                break
            try:
                read = json.loads(line)
                known = read["type"]
            except (ValueError, LookupError, TypeError):
                raise ValueError(f"{path}, line {number}: not a result of a sweep") from None
            whole += len(line)
            if known:
                yield read
    if whole < path.stat().st_size:
        with path.open("rb+") as file:
            file.truncate(whole)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value
