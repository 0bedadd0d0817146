"""Options, answers and requests for more, as the core uses them."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from overtone.gpu_server.known import Known

if TYPE_CHECKING:
    from overtone.gpu_server.repository.shadow import Trial

TaskName = Literal["classify", "detect"]
# What the objects of one detection take.
DETECTION_BYTES = 400


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
        task: the only one that the model may have; None takes any.
        picture: width and height of the picture in pixels, for a detector; None means a square.
    """

    operating_point: str = ""
    top: int = 1
    expires: float | None = None
    model: str = ""
    task: TaskName | None = None
    picture: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """A class and its probability."""

    index: int
    label: str
    probability: float


@dataclass(frozen=True, slots=True)
class Mask:
    """Which pixels of a picture, taken as `width` x `height`, belong to a thing: the run-lengths of COCO's API."""

    width: int
    height: int
    counts: bytes


@dataclass(frozen=True, slots=True)
class Detection:
    """A thing that a detector has found: left, top, right and bottom are fractions of the picture."""

    score: Score
    box: tuple[float, float, float, float]
    mask: Mask | None = None


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

    `confident` tells whether it reached the operating point's threshold. A classifier's has the `top` classes, at
    least one; a detector's the `detections`, by falling probability, of which there may be none.
    """

    stage: Stage
    top: tuple[Score, ...]
    confident: bool
    layers: int
    timings: Timings = field(default_factory=Timings)
    detections: tuple[Detection, ...] = ()

    @property
    def best(self) -> Score:
        """The most probable class, of a classifier."""
        return self.top[0]

    @property
    def classes(self) -> set[int]:
        """The indices of all classes in it."""
        return {score.index for score in (*self.top, *(found.score for found in self.detections))}


@dataclass(frozen=True, slots=True)
class NeedMore:
    """What is known of an image is not enough.

    Attributes:
        layers: the layers up to this number are wanted.
        so_far: the answer in case they never come.
        known: what the layers that were judged have told.
        held: payloads of the layers after those, which came without the last one that is wanted.
        trial: what another model says of the image, if it is compared.
        blocks: where those layers are wanted, as a packed block mask; empty if everywhere.
    """

    layers: int
    so_far: Answer
    known: Known
    held: tuple[bytes, ...] = ()
    trial: "Trial | None" = None
    blocks: bytes = b""

    @property
    def arrived(self) -> int:
        """How many layers are here."""
        return self.known.layers + len(self.held)

    @property
    def size(self) -> int:
        """Bytes that it takes, without the objects of which there are only a few, and strings."""
        return self.known.size + sum(map(len, self.held)) + _size(self.so_far)


def _size(answer: Answer) -> int:
    return sum(DETECTION_BYTES + len(d.mask.counts if d.mask else b"") for d in answer.detections)
