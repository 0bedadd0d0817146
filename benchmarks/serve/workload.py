"""The load of every server: payloads of real images, and a checkpoint whose operating point fixes the stage."""

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Self, TypeVar, get_args

from overtone.edge_client import encode_image
from overtone.frequency import Profile, join
from overtone.models import Card, OperatingPoint, find, read_card, rewrite

Stage = Literal["low", "high"]
STAGES: tuple[Stage, ...] = get_args(Stage)
Network = Literal["real", "stub"]
NETWORKS: tuple[Network, ...] = get_args(Network)
# How the body of a request carries the payloads.
Form = Literal["joined", "base64"]

Name = TypeVar("Name", bound=str)

# Beyond every probability, so that no answer is final.
NEVER = 1.1
# All answers come from the first layer, or all from the last one, which is asked for at once.
POINT = "measured"


@dataclass(frozen=True)
class Workload:
    """The payloads of some images, base64 in its file.

    Attributes:
        layers: of every image the payloads that are sent, in order.
        promised: the layer up to which they come.
        point: the operating point under which they are judged.
    """

    layers: tuple[tuple[bytes, ...], ...]
    promised: int
    point: str = POINT

    @property
    def mean_bytes(self) -> float:
        """Mean payload bytes of an image."""
        return sum(len(payload) for image in self.layers for payload in image) / len(self.layers)

    def bodies(self, form: Form) -> list[bytes]:
        """Bodies of HTTP requests, one for each image."""
        joined = [join(image) for image in self.layers]
        if form == "joined":
            return joined
        return [json.dumps({"bodies": [base64.b64encode(body).decode()]}).encode() for body in joined]

    def write(self, path: Path) -> None:
        """Write it to a file."""
        coded = [[base64.b64encode(payload).decode() for payload in image] for image in self.layers]
        path.write_text(json.dumps(asdict(self) | {"layers": coded}), "utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote."""
        found = json.loads(path.read_text("utf-8"))
        layers = tuple(tuple(map(base64.b64decode, image)) for image in found.pop("layers"))
        return cls(layers, **found)


def encode_all(paths: Sequence[Path], profile: Profile, stage: Stage, quality: int | None) -> Workload:
    """The first layer of every image where the low network is measured, else all its layers."""
    count = 1 if stage == "low" else len(profile.ladder)
    encoded = [encode_image(path, profile, quality).encoded.layers[:count] for path in paths]
    return Workload(tuple(tuple(layers) for layers in encoded), count)


def prepare_checkpoint(model: str, stage: Stage, out: Path) -> Card:
    """Write a checkpoint to `out` whose operating point `POINT` answers every image from the stage's layers.

    Raises:
        CheckpointError: there is no such checkpoint.
    """
    card = read_card(model)
    decisions = len(card.profile.ladder) - 1
    threshold = 0.0 if stage == "low" else NEVER
    below = () if stage == "low" else (NEVER,) * decisions
    point = OperatingPoint(name=POINT, thresholds=(threshold,) * decisions, all_below=below)
    changed = card.model_copy(update={"operating_points": (point,), "operating_point": POINT})
    rewrite(find(model), changed, out)
    return changed


def checked(name: str, known: Sequence[Name]) -> Name:
    """The name, if it is one of the known ones.

    Raises:
        ValueError: it is not.
    """
    for each in known:
        if each == name:
            return each
    raise ValueError(f"{name!r} is none of {', '.join(known)}")
