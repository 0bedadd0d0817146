"""The AP50 and the bytes of each compared setting, on payloads and on the wire, as `curve.comparison` takes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from overtone.benchmarks.curve import overhead
from overtone.benchmarks.curve.comparison import Floats, Ints, SentImages
from overtone.benchmarks.curve.overhead import ALWAYS_HIGH, ALWAYS_LOW, Framing, Overhead
from overtone.benchmarks.detect.outcome import Outcome
from overtone.models import find
from overtone.models.detection.checkpoint import read_detector_card, rewrite_detector
from overtone.models.detection.operating_point import NEVER, DetectionPoint

# A field of a message has its number and its length before it, which takes a byte more from this length on.
LONG = 128
# What a layer costs besides its payload, where several are sent in one message.
FIELD = 3


@dataclass(frozen=True)
class DetectionEntry(SentImages):
    """One way of sending some pictures, and what a detector found in them."""

    outcome: Outcome
    name: ClassVar[str] = "ap50"

    @property
    def accuracy(self) -> float:
        """AP50."""
        return self.outcome.accuracy

    def resampled(self, times: Ints) -> Floats:
        """AP50 float64[m] on m samples, in which the pictures occur so many times, int64[m, n]."""
        return self.outcome.matches.ap50(times)


def entry(
    settings: dict[str, Any], outcome: Outcome, framing: Overhead, ours: bool, layers: int = 1
) -> DetectionEntry:
    """A way of sending, with its bytes; Overtone is never posted, but compared with what is.

    `layers` is how many payloads the first message holds.
    """
    sent = outcome.sent
    wire = _wire(outcome, framing.image, framing.high, FIELD * (layers - 1))
    counts = {
        "payload": outcome.bytes.astype(np.float64),
        "bare": sent.bare.astype(np.float64),
        "wire": wire,
        "post": wire if ours else _wire(outcome, framing.post, framing.post),
    }
    asked = {"asked": float((sent.more > 0).mean()), "blocks": float(sent.blocks.mean())}
    return DetectionEntry(settings | asked, counts, outcome)  # type: ignore[arg-type]


def _wire(outcome: Outcome, first: Framing, second: Framing, fields: int = 0) -> Floats:
    """Bytes on the wire float64[n] of both messages, and of the server's block mask between them.

    `first` and `second` are the messages' framing; `fields` are bytes of further fields in the first message.
    """
    sent = outcome.sent
    told = np.where(sent.mask > 0, sent.mask + 2 + (sent.mask >= LONG), 0)
    return first.wire(sent.first + fields) + np.where(sent.more > 0, second.wire(sent.more, told), 0.0)


def measure_overhead(checkpoint: str, paths: Sequence[Path]) -> Overhead:
    """Measure the framing between a server with this detector and a device, over these pictures, without block masks.

    Raises:
        CheckpointError: no such checkpoint.
        ChildError: the server did not start.
    """
    return overhead.measure_forced(partial(force, find(checkpoint)), paths)


def force(source: Path, out: Path) -> None:
    """Write a detector with two more operating points: always answer from low, and always ask for all blocks."""
    card = read_detector_card(source)
    shown = card.point().shown
    points = (
        DetectionPoint(name=ALWAYS_LOW, unsure=NEVER, shown=shown),
        DetectionPoint(name=ALWAYS_HIGH, unsure=0, whole=True, shown=shown),
    )
    rewrite_detector(
        source, card.model_copy(update={"operating_points": (*card.operating_points, *points)}), out
    )
