"""The answer to a picture, of a model that says what is where."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from overtone.edge_client.answer import Timings
from overtone.edge_client.errors import ProtocolError
from overtone.edge_client.mask import Mask
from overtone.edge_client.plan import Plan
from overtone.edge_client.stage import Stage


class Box(NamedTuple):
    """Corners as fractions of the picture, from its left and upper edge."""

    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def of(cls, left: float, top: float, right: float, bottom: float) -> Self:
        """A box of a server's answer.

        Raises:
            ProtocolError: it is none, or lies outside the picture.
        """
        if not (0 <= left <= right <= 1 and 0 <= top <= bottom <= 1):
            raise ProtocolError(
                f"the server gave a box that is none: {left:g}, {top:g}, {right:g}, {bottom:g}"
            )
        return cls(left, top, right, bottom)


@dataclass(frozen=True)
class Detection:
    """A thing that was found.

    Attributes:
        label: its class.
        index: the index of that class in the profile's labels.
        probability: how probable it is that it is there and of this class.
        box: where it is.
        mask: the part of the picture that belongs to it, in the pixels of the square that the picture was sent in;
            None if the model has no masks.
    """

    label: str
    index: int
    probability: float
    box: Box
    mask: Mask | None = None

    def to_json(self) -> dict[str, Any]:
        """For a program: `label`, `index`, `probability`, `box` and, where there is one, `mask`."""
        found = {"label": self.label, "index": self.index, "probability": self.probability}
        mask = {} if self.mask is None else {"mask": self.mask.to_json()}
        return found | {"box": list(self.box)} | mask


@dataclass(frozen=True)
class Detected:
    """What was found in one picture.

    Attributes:
        detections: the things, by falling probability; there may be none.
        stage: the network that answered, `low` or `high`; `brownout` is the best answer so far, from a server that was
            too busy to ask for more.
        layers: how many layers the answer is made of.
        confident: whether nothing was left in doubt.
        bytes_sent: payload bytes that were sent for this picture, including any that were sent again.
        timings: where the time went.
        model: the name of the model.
        plan: which layers were to be sent without being asked for.
    """

    detections: tuple[Detection, ...]
    stage: Stage
    layers: int
    confident: bool
    bytes_sent: int
    timings: Timings
    model: str
    plan: Plan

    def above(self, probability: float) -> tuple[Detection, ...]:
        """The things that are at least this probable."""
        return tuple(each for each in self.detections if each.probability >= probability)
