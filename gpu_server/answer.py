"""Options, answers and requests for high, as the core uses them."""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class Stage(StrEnum):
    """The network that gave an answer."""

    LOW = "low"
    HIGH = "high"
    BROWNOUT = "brownout"  # the low network, below the threshold, because the server is overloaded


@dataclass(frozen=True, slots=True)
class Options:
    """What a request may choose.

    Attributes:
        operating_point: one of the model's card; empty means the card's default.
        top: how many of the best classes the answer holds, at least one.
        expires: event loop time after which the answer is of no use; None leaves it to the server.
    """

    operating_point: str = ""
    top: int = 1
    expires: float | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """A class and its probability."""

    index: int
    label: str
    probability: float


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds in the queue and in the network."""

    queue: float = 0.0
    compute: float = 0.0

    def __add__(self, other: "Timings") -> "Timings":
        return Timings(self.queue + other.queue, self.compute + other.compute)


@dataclass(frozen=True, slots=True)
class Answer:
    """The final answer for one image; `confident` tells whether it reached the operating point's threshold."""

    stage: Stage
    top: tuple[Score, ...]
    confident: bool
    timings: Timings = field(default_factory=Timings)

    @property
    def best(self) -> Score:
        """The most probable class."""
        return self.top[0]


@dataclass(frozen=True, slots=True)
class NeedHigh:
    """The low network was not sure enough.

    Attributes:
        low: the answer in case high never comes.
        high_bytes: size of the high payload, as the low payload announces it; None if it does not.
        probabilities: of the low network, float32[K]; a mixed high answer needs them.
    """

    low: Answer
    high_bytes: int | None = None
    probabilities: NDArray[np.float32] | None = field(default=None, compare=False)


def best(probabilities: NDArray[np.float32], labels: tuple[str, ...], count: int) -> tuple[Score, ...]:
    """The `count` most probable classes of float32[K], best first; always at least one."""
    order = np.argsort(-probabilities, kind="stable")[: max(1, count)]
    return tuple(Score(int(i), labels[i], float(probabilities[i])) for i in order)
