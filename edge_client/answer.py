"""What comes back for a picture."""

from dataclasses import dataclass

from overtone.edge_client.errors import OvertoneError
from overtone.edge_client.policy import Plan
from overtone.edge_client.stage import Stage
from overtone.frequency.pixels import Source


@dataclass(frozen=True)
class Score:
    """A class and how probable it is."""

    label: str
    index: int
    probability: float


@dataclass(frozen=True)
class Timings:
    """Milliseconds: encoding here, all of it as seen from here, and waiting and computing at the server."""

    encode_ms: float
    total_ms: float
    queue_ms: float
    compute_ms: float


@dataclass(frozen=True)
class Answer:
    """The answer to one picture.

    Attributes:
        label: the most probable class.
        index: its place in the profile's labels.
        confidence: its probability.
        top: the best classes, best first, as many as were asked for.
        stage: `low` or `high`, whichever network answered; `brownout` is low's answer from a server too
            busy to ask for more.
        confident: whether its confidence meets the operating point's threshold.
        bytes_sent: payload bytes really sent for it, those sent again included.
        timings: where the time went.
        model: the model's name.
        plan: when its high was to be sent.
    """

    label: str
    index: int
    confidence: float
    top: tuple[Score, ...]
    stage: Stage
    confident: bool
    bytes_sent: int
    timings: Timings
    model: str
    plan: Plan


@dataclass(frozen=True)
class Result:
    """One picture of a stream: its answer, or what kept it from having one."""

    picture: Source
    answer: Answer | None = None
    error: OvertoneError | None = None

    def get(self) -> Answer:
        """The answer.

        Raises:
            OvertoneError: there is none.
        """
        if self.answer is None:
            raise self.error or OvertoneError("no answer")
        return self.answer
