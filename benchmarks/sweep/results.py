"""The results of a sweep as a file of JSON lines; a run is added when it has ended, and is found again."""

import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from overtone.benchmarks.json_lines import Json, JsonLines
from overtone.benchmarks.load.fleet import FleetResult
from overtone.benchmarks.load.prepared import Sample
from overtone.benchmarks.sweep.plan import Point, Run

RUN, ABOUT, TIMELINE = "run", "about", "timeline"
DIGITS = 3


@dataclass(frozen=True)
class Result:
    """A run and its measurements: a column for each field of `Sample`, a value per answered image."""

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
    def of(cls, key: str, run: Run, result: FleetResult) -> Self:
        """The result of a fleet's measurement; `load` is the machine's load average at the end."""
        return cls(
            key=key,
            run=run,
            columns={f.name: [getattr(sample, f.name) for sample in result.samples] for f in fields(Sample)},
            errors=result.errors,
            seconds=result.seconds,
            setup_up=result.setup_up,
            setup_down=result.setup_down,
            busy=result.busy,
            load=os.getloadavg()[0],
        )

    @classmethod
    def read(cls, line: Json) -> Self:
        """Read the result from a line of the file."""
        values = {name: value for name, value in line.items() if name not in ("type", "run")}
        values["columns"] = _by_layer(values["columns"])
        return cls(run=Run(**line["run"] | {"point": Point(**line["run"]["point"])}), **values)

    def line(self) -> Json:
        """The line of the file."""
        return {"type": RUN, **asdict(self)}

    def column(self, name: str) -> NDArray[np.float64]:
        """A column of numbers."""
        return np.array(self.columns[name], dtype=np.float64)


def _by_layer(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """The columns, with those of layers if they were written when there were two payloads, low and high."""
    if "high" not in columns:
        return columns
    rest = {name: values for name, values in columns.items() if name != "high"}
    pairs = list(zip(columns["payload"], columns["high"], strict=True))
    by_layer = [[payload - high, high] for payload, high in pairs]
    return rest | {"layers": [1 + (stage == "high") for stage in columns["stage"]], "by_layer": by_layer}


class ResultFile:
    """The results of a sweep in a file.

    Raises:
        DamagedFileError: the file holds something else.
    """

    def __init__(self, path: Path) -> None:
        self._file = JsonLines(path, "type")
        self.path = path

    @property
    def keys(self) -> frozenset[str]:
        """The keys of all runs and timelines."""
        return frozenset(line["key"] for line in self._file.lines if "key" in line)

    def results(self) -> list[Result]:
        """All runs."""
        return [Result.read(line) for line in self.lines(RUN)]

    def lines(self, kind: str) -> list[Json]:
        """All lines of a type."""
        return [line for line in self._file.lines if line["type"] == kind]

    def add(self, line: Json) -> None:
        """Add a line, its numbers rounded."""
        self._file.append(rounded(line, DIGITS))


def rounded(value: Any, digits: int) -> Any:
    """The same JSON with all numbers rounded."""
    if isinstance(value, float):
        return round(value, digits)
    if isinstance(value, dict):
        return {key: rounded(item, digits) for key, item in value.items()}
    return [rounded(item, digits) for item in value] if isinstance(value, list | tuple) else value
