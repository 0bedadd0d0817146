"""Options, answers and requests for more, as the core uses them."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from overtone.gpu_server.known import Known

if TYPE_CHECKING:
    from overtone.gpu_server.shadow import Trial


class Stage(StrEnum):
    """The network that gave an answer."""

    LOW = "low"  # from layers of low channels alone
    HIGH = "high"
    BROWNOUT = "brownout"  # either, below the threshold, because the server is overloaded


@dataclass(frozen=True, slots=True)
class Options:
    """What a request may choose.

    Attributes:
        operating_point: one of the model's card; empty means the card's default.
        top: how many of the best classes the answer holds, at least one.
        model: NAME or NAME:VERSION; empty means the server's default.
        expires: event loop time after which the answer is of no use; None leaves it to the server.
    """

    operating_point: str = ""
    top: int = 1
    expires: float | None = None
    model: str = ""


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
    """The answer for one image, made of its first so many `layers`.

    `confident` tells whether it reached the operating point's threshold.
    """

    stage: Stage
    top: tuple[Score, ...]
    confident: bool
    layers: int
    timings: Timings = field(default_factory=Timings)

    @property
    def best(self) -> Score:
        """The most probable class."""
        return self.top[0]


@dataclass(frozen=True, slots=True)
class NeedMore:
    """What is known of an image is not enough.

    Attributes:
        layers: the layers up to this number are wanted.
        so_far: the answer in case they never come.
        known: what the layers that were judged have told.
        held: payloads of the layers after those, which came without the last one that is wanted.
        trial: what another model says of the image, if it is compared.
    """

    layers: int
    so_far: Answer
    known: Known
    held: tuple[bytes, ...] = ()
    trial: "Trial | None" = None

    @property
    def arrived(self) -> int:
        """How many layers are here."""
        return self.known.layers + len(self.held)

    @property
    def size(self) -> int:
        """Bytes that it takes, without objects and strings."""
        return self.known.size + sum(map(len, self.held))


def best(probabilities: NDArray[np.float32], labels: tuple[str, ...], count: int) -> tuple[Score, ...]:
    """The `count` most probable classes of float32[K], best first; always at least one."""
    order = [probabilities.argmax()] if count <= 1 else np.argsort(-probabilities, kind="stable")[:count]
    return tuple(Score(int(i), labels[i], float(probabilities[i])) for i in order)


def softmax(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Probabilities float32[K] of logits float32[K] that are divided by a temperature first (Guo et al. 2017)."""
    scaled = logits.astype(np.float64) / temperature
    weights = np.exp(scaled - scaled.max())
    probabilities: NDArray[np.float32] = (weights / weights.sum()).astype(np.float32)
    return probabilities
