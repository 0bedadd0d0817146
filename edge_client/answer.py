"""The answer to an image."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from overtone.edge_client.errors import OvertoneError
from overtone.edge_client.plan import Plan
from overtone.edge_client.stage import Stage
from overtone.frequency import Source

AnswerT = TypeVar("AnswerT", covariant=True)


@dataclass(frozen=True)
class Score:
    """A class and its probability."""

    label: str
    index: int
    probability: float


@dataclass(frozen=True)
class Timings:
    """The times that an image took, in milliseconds.

    Attributes:
        encode_ms: encoding on the device.
        total_ms: from the call of `classify` or `detect` to the answer.
        queue_ms: waiting at the server.
        compute_ms: computing at the server.
    """

    encode_ms: float
    total_ms: float
    queue_ms: float
    compute_ms: float


@dataclass(frozen=True)
class Answer:
    """The answer to one image.

    Attributes:
        label: the most probable class.
        index: the index of that class in the profile's labels.
        confidence: the probability of that class.
        top: the most probable classes, best first, as many as were asked for.
        stage: the network that answered, `low` or `high`; `brownout` is the best answer so far, from a server that was
            too busy to ask for more.
        layers: how many layers the answer is made of.
        confident: whether the confidence reaches the threshold of the operating point.
        bytes_sent: payload bytes that were sent for this image, including any that were sent again.
        timings: the times that the image took.
        model: the name of the model.
        plan: which layers were to be sent without being asked for.
    """

    label: str
    index: int
    confidence: float
    top: tuple[Score, ...]
    stage: Stage
    layers: int
    confident: bool
    bytes_sent: int
    timings: Timings
    model: str
    plan: Plan


@dataclass(frozen=True)
class Result(Generic[AnswerT]):
    """One image of a stream with its answer, or with the error that it ended in."""

    image: Source
    answer: AnswerT | None = None
    error: OvertoneError | None = None

    def get(self) -> AnswerT:
        """The answer.

        Raises:
            OvertoneError: the image ended in this error.
        """
        if self.answer is None:
            raise self.error or OvertoneError("no answer")
        return self.answer
