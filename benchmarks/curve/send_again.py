"""The baseline that sends an image again: small first, and larger where the network is not confident.

This is a cascade without Overtone: any codec, any network, and a threshold on the network's own confidence. All bytes
of both files count. Pairs are made of the settings on the frontier of the codecs below, and pairs and thresholds
are chosen on calibration images, as everything else is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np

from overtone.benchmarks.curve.baselines import TITLES, Codec, Setting
from overtone.benchmarks.curve.comparison import Entry
from overtone.benchmarks.curve.delta_rate import Point, frontier, thinned
from overtone.benchmarks.curve.evaluation import Outcome
from overtone.benchmarks.curve.overhead import Overhead, Sizes

AGAIN: Final = "sent again"
# The codecs that take the fewest bytes.
CODECS: Final[tuple[Codec, ...]] = ("webp", "avif")
# Of top-1: a first image may be answered so much worse than what is compared.
FIRST_BELOW: Final = 0.15
# Settings on the frontier are at least so far apart in bytes, which keeps the pairs few.
APART: Final = 0.2
# Shares of the calibration images for which thresholds are chosen so that they are sent again.
SHARES: Final = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8)


@dataclass(frozen=True)
class Pair:
    """A small image first, and a larger one if the confidence of the answer is below the threshold."""

    first: Setting
    second: Setting
    threshold: float

    @property
    def document(self) -> dict[str, Any]:
        """Plain values for JSON."""
        both = {"first": self.first.document, "second": self.second.document}
        return both | {"threshold": self.threshold}

    def asks(self, found: Mapping[Setting, Outcome]) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Whether each image is sent again, bool[n]."""
        asks: np.ndarray[Any, np.dtype[np.bool_]] = found[self.first].confidence < self.threshold
        return asks

    def outcome(self, found: Mapping[Setting, Outcome]) -> Outcome:
        """Both files' bytes, and the last answer, of each image."""
        first, second, asks = found[self.first], found[self.second], self.asks(found)
        return Outcome(
            first.bytes + np.where(asks, second.bytes, 0),
            np.where(asks, second.correct, first.correct),
            np.where(asks, second.confidence, first.confidence),
        )


def candidates(tried: Mapping[Setting, Outcome]) -> list[Setting]:
    """The settings that pairs are made of: the frontier of these codecs together, thinned."""
    points = (
        Point(float(outcome.bytes.mean()), outcome.accuracy, {"setting": setting})
        for setting, outcome in tried.items()
        if setting.codec in CODECS
    )
    return [point.settings["setting"] for point in thinned(frontier(points), APART)]


def choose(tried: Mapping[Setting, Outcome], floor: float, ceiling: float) -> list[Pair]:
    """The pairs on the frontier, from the floor to the first that reaches the ceiling."""
    points = [
        Point(float(outcome.bytes.mean()), outcome.accuracy, {"pair": pair})
        for first, second in combinations(candidates(tried), 2)
        for pair in _pairs(first, second, tried)
        if (outcome := pair.outcome(tried)).accuracy >= floor
    ]
    curve = frontier(points)
    below = sum(point.accuracy < ceiling for point in curve)
    return [point.settings["pair"] for point in thinned(curve[: below + 1])]


def entries(
    pairs: Sequence[Pair],
    found: Mapping[Setting, Outcome],
    bare: Mapping[Setting, Sizes],
    framing: Overhead,
) -> list[Entry]:
    """The chosen pairs on the images of these outcomes; `bare` are the bytes of files without containers.

    On the wire, the second image is requested and sent as Overtone's further layers are.
    """
    made = []
    for pair in pairs:
        outcome, asks = pair.outcome(found), pair.asks(found)
        first, second = (found[setting].bytes.astype(np.float64) for setting in (pair.first, pair.second))
        counts = {
            "payload": outcome.bytes.astype(np.float64),
            "bare": bare[pair.first] + np.where(asks, bare[pair.second], 0.0),
            "wire": framing.image.wire(first) + np.where(asks, framing.high.wire(second), 0.0),
            "post": framing.post.wire(first) + np.where(asks, framing.post.wire(second), 0.0),
        }
        settings = pair.document | {"again": float(asks.mean())}
        made.append(Entry(settings, counts, outcome.correct))  # type: ignore[arg-type]
    return made


def described(row: Mapping[str, Any]) -> str:
    """A pair in a few words, for tables."""
    each = (
        f"{TITLES[s['codec']]} {s['side']} px, quality {s['quality']}" for s in (row["first"], row["second"])
    )
    return f"{'; then '.join(each)} for {row['again']:.0%}"


def _pairs(first: Setting, second: Setting, tried: Mapping[Setting, Outcome]) -> list[Pair]:
    scores = np.sort(tried[first].confidence)
    places = {min(round(share * len(scores)), len(scores) - 1) for share in SHARES}
    return [Pair(first, second, float(scores[place])) for place in sorted(places)]
