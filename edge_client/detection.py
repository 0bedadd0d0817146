"""The answer of a detector to a picture: its objects, with boxes and masks."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from overtone.edge_client.answer import Timings
from overtone.edge_client.errors import ProtocolError
from overtone.edge_client.mask import Mask
from overtone.edge_client.plan import Plan
from overtone.edge_client.stage import Stage


class Box(NamedTuple):
    """A box, whose edges are fractions of the picture, from its left and upper edge."""

    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def of(cls, left: float, top: float, right: float, bottom: float) -> Self:
        """A box of a server's answer.

        Raises:
            ProtocolError: the edges are no box, or lie outside the picture.
        """
        if not (0 <= left <= right <= 1 and 0 <= top <= bottom <= 1):
            raise ProtocolError(
                f"the server gave a box that is none: {left:g}, {top:g}, {right:g}, {bottom:g}"
            )
        return cls(left, top, right, bottom)


@dataclass(frozen=True)
class Detection:
    """An object that was found.

    Attributes:
        label: its class.
        index: the index of that class in the profile's labels.
        probability: that there is an object of this class in this box.
        box: around the object.
        mask: the pixels of the object, in the square that the picture was sent in; None if the model has no masks.
    """

    label: str
    index: int
    probability: float
    box: Box
    mask: Mask | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON object with `label`, `index`, `probability`, `box` and, where there is one, `mask`."""
        fields = {"label": self.label, "index": self.index, "probability": self.probability}
        mask = {} if self.mask is None else {"mask": self.mask.to_json()}
        return fields | {"box": list(self.box)} | mask


@dataclass(frozen=True)
class Detected:
    """The answer to one picture.

    Attributes:
        detections: the objects, by falling probability; there may be none.
        stage: the network that answered, `low` or `high`; `brownout` is the best answer so far, from a server that was
            too busy to ask for more.
        layers: how many layers the answer is made of.
        confident: whether no object was left in doubt.
        bytes_sent: payload bytes that were sent for this picture, including any that were sent again.
        timings: the times that the picture took.
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
        """The objects that are at least this probable."""
        return tuple(each for each in self.detections if each.probability >= probability)
