"""Choosing settings by successive elimination: those that are clearly worse on some images are dropped early.

All settings start on a few images. Between rounds a setting is dropped if another of its family takes no more
bytes and is significantly more accurate; or if it is irrelevant to the comparison, because it is significantly
less accurate than everything compared, or takes too many bytes for a thin link.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from overtone.benchmarks.curve.delta_rate import Point, frontier, thinned

# Images that the remaining settings have seen after each round; the last round is on all there are.
ROUNDS = (60, 180, 450)
# Mean bytes above which a setting is of no interest on a thin link.
MOST_BYTES = 4500.0
# Of the accuracy: how far below its best a family that never reaches the floor is followed.
NEAR = 0.05


class Family(Protocol):
    """A setting that belongs to a family, such as those of one codec, and is compared within it alone."""

    @property
    def family(self) -> str:
        """The name of its family."""

    def __hash__(self) -> int: ...


class Result(Protocol):
    """The outcome of a setting on some images. A wrong elimination costs little: the rival takes no more bytes."""

    @property
    def bytes(self) -> NDArray[np.int64]:
        """Bytes sent of every image, int64[n]."""

    @property
    def accuracy(self) -> float:
        """Top-1 or AP50, a fraction."""

    def surely_beats(self, other: Any) -> bool:
        """Whether this outcome is significantly more accurate than another one on the same images."""

    def surely_below(self, accuracy: float) -> bool:
        """Whether its accuracy is significantly less than `accuracy`."""

    @classmethod
    def join(cls, parts: Iterable[Self]) -> Self:
        """Join the outcomes of successive images."""


S = TypeVar("S", bound=Family)
R = TypeVar("R", bound=Result)


class Evaluating(Protocol[S, R]):
    """An evaluation of settings on images, such as `curve.evaluation.Evaluation`."""

    @property
    def images(self) -> Any:
        """All images; only their number is used."""

    def run(self, settings: Sequence[S], what: str, begin: int = 0, end: int | None = None) -> dict[S, R]:
        """The outcome of every setting on the images from `begin` to `end`; `what` names the work for people."""


def eliminate(
    evaluation: Evaluating[S, R], settings: Sequence[S], floor: float, most_bytes: float = MOST_BYTES
) -> dict[S, R]:
    """The outcomes on all images of the settings that are not dropped; accuracies are compared from `floor`."""
    n = len(evaluation.images)
    found: dict[S, R] = {}
    for begin, end in pairwise([0, *(count for count in ROUNDS if count < n), n]):
        left = survivors(found, floor, most_bytes) if found else list(settings)
        more = evaluation.run(left, f"choosing among {len(left)} settings", begin, end)
        found = {s: more[s].join([found[s], more[s]]) if begin else more[s] for s in left}
    return found


def survivors(found: Mapping[S, R], floor: float, most_bytes: float = MOST_BYTES) -> list[S]:
    """The settings that are neither beaten by another of their family nor irrelevant."""
    kept = []
    for setting, result in found.items():
        rivals = [other for key, other in found.items() if key.family == setting.family]
        least = relevant(floor, [other.accuracy for other in rivals])
        beaten = any(
            other.bytes.mean() <= result.bytes.mean() and other.surely_beats(result) for other in rivals
        )
        if not (beaten or result.bytes.mean() > most_bytes or result.surely_below(least)):
            kept.append(setting)
    return kept


def relevant(floor: float, accuracies: Sequence[float]) -> float:
    """`floor`, or less if a family does not reach it."""
    return min(floor, max(accuracies) - NEAR)


def best_of_each(tried: Mapping[S, R], floor: float, ceiling: float) -> list[S]:
    """The best settings of every family, see `best_settings`."""
    by_family: dict[str, list[tuple[S, R]]] = {}
    for setting, result in tried.items():
        by_family.setdefault(setting.family, []).append((setting, result))
    return [setting for each in by_family.values() for setting in best_settings(each, floor, ceiling)]


def best_settings(tried: list[tuple[S, R]], floor: float, ceiling: float) -> list[S]:
    """One family's settings on the frontier, from `floor` to the first that reaches `ceiling`."""
    least = relevant(floor, [result.accuracy for _, result in tried])
    points = frontier(
        Point(float(result.bytes.mean()), result.accuracy, {"setting": setting})
        for setting, result in tried
        if result.accuracy >= least
    )
    below = sum(point.accuracy < ceiling for point in points)
    return [point.settings["setting"] for point in thinned(points[: below + 1])]
