"""The measured outcome of a setting on some pictures: bytes and detections, kept in a file, and the AP50 of these."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from overtone.benchmarks.curve.comparison import draw
from overtone.benchmarks.curve.evaluation import SIGNIFICANT
from overtone.benchmarks.detect.matches import Floats, Ints, Matches
from overtone.models.detection.detections import Detections
from overtone.training.detection.pictures import Pictures
from overtone.training.detection.predictions import in_pictures

# Bootstrap samples on which two settings are compared, to see whether one is significantly better.
SAMPLES = 100


@dataclass(frozen=True)
class FlatDetections:
    """The detections in n pictures, one after the other; masks are not kept.

    Attributes:
        counts: of each picture, int64[n].
        boxes: fractions of the square that the detector read, float32[m, 4].
        labels: int64[m].
        scores: float32[m].
    """

    counts: Ints
    boxes: NDArray[np.float32]
    labels: Ints
    scores: NDArray[np.float32]

    @classmethod
    def of(cls, found: Sequence[Detections]) -> Self:
        """The detections of some pictures, one entry for each."""
        counts = np.array([len(each) for each in found], np.int64)
        boxes, labels, scores = (
            np.concatenate([getattr(each, name).cpu().numpy() for each in found])
            for name in ("boxes", "labels", "scores")
        )
        return cls(counts, boxes, labels, scores)

    def detections(self, device: torch.device | str = "cpu") -> list[Detections]:
        """The detections again, one entry for each picture, on a device."""
        columns = (torch.from_numpy(each).to(device) for each in (self.boxes, self.labels, self.scores))
        parts = (column.split(self.counts.tolist()) for column in columns)
        return [Detections(*each) for each in zip(*parts, strict=True)]


@dataclass(frozen=True)
class Sent:
    """The bytes that were sent of n pictures.

    Attributes:
        first: payload bytes of the first message, int64[n].
        more: payload bytes of the second message, int64[n]; 0 where the server asked for none.
        bare: bytes of both without the containers of image files, int64[n].
        mask: bytes of the block mask with which the server asked, int64[n]; 0 where it sent none.
        blocks: share of the blocks that were sent in full, float64[n].
    """

    first: Ints
    more: Ints
    bare: Ints
    mask: Ints
    blocks: Floats


@dataclass(frozen=True)
class Outcome:
    """The bytes sent of some pictures, and the detections of a detector that reads squares of `size` pixels."""

    pictures: Pictures
    size: int
    sent: Sent
    found: FlatDetections

    @property
    def bytes(self) -> Ints:
        """All payload bytes of each picture."""
        return self.sent.first + self.sent.more

    @cached_property
    def matches(self) -> Matches:
        """The detections matched with the annotated objects."""
        return Matches.of(self.pictures, in_pictures(self.found.detections(), self.pictures, self.size))

    @cached_property
    def accuracy(self) -> float:
        """AP50, a fraction."""
        return float(self.matches.ap50()[0])

    @cached_property
    def _resampled(self) -> Floats:
        return self.matches.ap50(draw(len(self.pictures), SAMPLES))

    def surely_beats(self, other: "Outcome") -> bool:
        """Whether its AP50 is significantly higher than another one's on the same pictures."""
        gains = self._resampled - other._resampled
        return self.accuracy - other.accuracy > SIGNIFICANT * float(gains.std())

    def surely_below(self, accuracy: float) -> bool:
        """Whether its AP50 is significantly less than `accuracy`."""
        return accuracy - self.accuracy > SIGNIFICANT * float(self._resampled.std())

    @classmethod
    def join(cls, parts: Iterable[Self]) -> Self:
        """Join the outcomes of successive pictures."""
        known = list(parts)
        paths, things = (
            tuple(each for part in known for each in getattr(part.pictures, name))
            for name in ("paths", "things")
        )
        return cls(
            Pictures(paths, things, known[0].pictures.classes),
            known[0].size,
            Sent(**_joined([part.sent for part in known])),
            FlatDetections(**_joined([part.found for part in known])),
        )

    def save(self, path: Path) -> None:
        """Write bytes and detections to a file, atomically."""
        temporary = path.with_suffix(".part.npz")
        np.savez_compressed(temporary, **vars(self.sent), **vars(self.found))
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path, pictures: Pictures, size: int) -> Self:
        """Read the file that `save` wrote of these pictures."""
        with np.load(path) as arrays:
            parts = ({f.name: arrays[f.name] for f in fields(kind)} for kind in (Sent, FlatDetections))
            sent, found = parts
            return cls(pictures, size, Sent(**sent), FlatDetections(**found))


def _joined(parts: Sequence[Sent] | Sequence[FlatDetections]) -> dict[str, NDArray[Any]]:
    return {f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(parts[0])}
