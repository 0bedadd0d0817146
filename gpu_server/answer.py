"""What the core takes beside an image, and what it returns: options, answers, and requests for further layers.

The transports translate these to protobuf messages and JSON; see `grpc/messages.py` and `rest/schemas.py`.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from overtone.gpu_server.decoded_image import DecodedImage

if TYPE_CHECKING:
    from overtone.gpu_server.repository.shadow import Trial

TaskName = Literal["classify", "detect"]
# Bytes of memory that the Python objects of one detection take, about.
DETECTION_BYTES = 400


class Stage(StrEnum):
    """The stage that gave an answer; networks are of stage LOW or HIGH."""

    LOW = "low"  # from layers of low channels alone
    HIGH = "high"
    BROWNOUT = "brownout"  # either, below the threshold, because the server is overloaded


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one request.

    Attributes:
        operating_point: one of the model's card; empty means the card's default.
        top: how many of the best classes the answer holds, at least one.
        model: NAME or NAME:VERSION; empty means the server's default.
        expires: event loop time after which the answer is of no use; None leaves it to the server.
        task: the task that the model must have; None takes any.
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
    """A class: its index, its label and its probability, from 0 to 1."""

    index: int
    label: str
    probability: float


@dataclass(frozen=True, slots=True)
class Mask:
    """The pixels of one object, in a picture scaled to `width` x `height`.

    `counts` are the compressed run-lengths of COCO's API, see `tasks/run_lengths.py`.
    """

    width: int
    height: int
    counts: bytes


@dataclass(frozen=True, slots=True)
class Detection:
    """An object that a detector has found; the box is left, top, right, bottom, as fractions of the picture."""

    score: Score
    box: tuple[float, float, float, float]
    mask: Mask | None = None


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds that an image has spent in queues and in networks, summed over its stages."""

    queue: float = 0.0
    compute: float = 0.0

    def __add__(self, other: "Timings") -> "Timings":
        return Timings(self.queue + other.queue, self.compute + other.compute)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer for one image.

    Attributes:
        stage: which network gave it, or that it is a brown-out.
        top: of a classifier, the most probable classes, best first, at least one.
        confident: whether it reached the threshold of the operating point.
        layers: how many of the image's first layers it is from.
        timings: seconds in queues and networks.
        detections: of a detector, the objects by falling probability; there may be none.
    """

    stage: Stage
    top: tuple[Score, ...]
    confident: bool
    layers: int
    timings: Timings = field(default_factory=Timings)
    detections: tuple[Detection, ...] = ()

    @property
    def best(self) -> Score:
        """The most probable class of a classifier's answer."""
        return self.top[0]

    @property
    def classes(self) -> set[int]:
        """The indices of all classes that the answer names."""
        return {score.index for score in (*self.top, *(found.score for found in self.detections))}


@dataclass(frozen=True, slots=True)
class NeedMore:
    """A request for further layers, because the answer so far is below the threshold; stored until they arrive.

    Attributes:
        layers: the number of the last layer that is wanted.
        so_far: the answer in case no further layers arrive.
        image: the layers that have been judged, decoded.
        held: payloads of layers that have arrived after these, while the last wanted one has not.
        trial: the comparison with a shadow model, if the image is part of one.
        blocks: the blocks for which the layers are wanted, as a packed block mask; empty for all blocks.
    """

    layers: int
    so_far: Answer
    image: DecodedImage
    held: tuple[bytes, ...] = ()
    trial: "Trial | None" = None
    blocks: bytes = b""

    @property
    def arrived(self) -> int:
        """How many layers have arrived."""
        return self.image.layers + len(self.held)

    @property
    def size(self) -> int:
        """Bytes of its arrays, payloads and detections; the few objects around them are not counted."""
        return self.image.size + sum(map(len, self.held)) + _size(self.so_far)


def _size(answer: Answer) -> int:
    return sum(DETECTION_BYTES + len(d.mask.counts if d.mask else b"") for d in answer.detections)
