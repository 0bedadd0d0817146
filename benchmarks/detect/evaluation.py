"""Settings measured on pictures, each once: results are kept in files, piece by piece, so that work can continue."""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from overtone.benchmarks.curve.evaluation import identity
from overtone.benchmarks.curve.result_cache import fingerprint
from overtone.benchmarks.detect.outcome import Outcome
from overtone.training.detection.pictures import Pictures
from overtone.training.progress import tracked

# Pictures in a piece, the most that an interruption loses.
PIECE = 60


class Way(Protocol):
    """A way of sending pictures."""

    @property
    def family(self) -> str:
        """The name of its family; settings are eliminated in favour of others of their own family alone."""

    @property
    def document(self) -> Mapping[str, Any]:
        """Plain values for JSON."""

    def __hash__(self) -> int: ...


W = TypeVar("W", bound=Way)


class Evaluation(ABC, Generic[W]):
    """A detector's answers to pictures, sent in any way.

    Args:
        pictures: sent to it.
        size: side in pixels of the square that it reads.
        folder: where results are kept.
        name: of the detector, in the names of files.
    """

    def __init__(self, pictures: Pictures, size: int, folder: Path, name: str) -> None:
        self.images, self.size, self._folder = pictures, size, folder
        self._name = f"{name} {identity(pictures.images)}"

    @abstractmethod
    def measure(self, way: W, begin: int, end: int) -> Outcome:
        """The outcome of a way on the pictures from `begin` to `end`."""

    def run(self, ways: Sequence[W], what: str, begin: int = 0, end: int | None = None) -> dict[W, Outcome]:
        """Every way on the pictures from `begin` to `end`, from files or measured, with progress."""
        ends = pieces(begin, len(self.images) if end is None else end)
        jobs = [(way, *piece) for way in ways for piece in ends]
        missing = [job for job in jobs if not self._path(*job).is_file()]
        for job in tracked(missing, what, len(missing)):
            self.piece(*job)
        return {way: Outcome.join(self.piece(way, *piece) for piece in ends) for way in ways}

    def piece(self, way: W, begin: int, end: int) -> Outcome:
        """A way on some pictures, from its file, or measured and kept."""
        path = self._path(way, begin, end)
        if path.is_file():
            return Outcome.load(path, self.part(begin, end), self.size)
        outcome = self.measure(way, begin, end)
        path.parent.mkdir(parents=True, exist_ok=True)
        outcome.save(path)
        return outcome

    def part(self, begin: int, end: int) -> Pictures:
        """The pictures from `begin` to `end`."""
        return self.images.take(range(begin, end))

    def _path(self, way: W, begin: int, end: int) -> Path:
        key = {"evaluation": self._name, "from": begin, "to": end} | dict(way.document)
        family = re.sub(r"\W+", "-", way.family)
        return (
            self._folder
            / f"{family}-{begin}-{end}-{fingerprint(json.dumps(key, sort_keys=True).encode())}.npz"
        )


def pieces(begin: int, end: int) -> list[tuple[int, int]]:
    """The ranges from `begin` to `end`, divided at multiples of `PIECE`."""
    inner = range(begin - begin % PIECE + PIECE, end, PIECE)
    return list(pairwise([begin, *inner, end]))
