"""What a recipe may say of its network: one class a kind, told apart by `kind`."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from overtone.frequency.channels import COUNT, SETS, Channels
from overtone.models.cascade import Architecture
from overtone.models.resnet import LAYERS, STRIDES

Four = tuple[int, int, int, int]


class Section(BaseModel):
    """A table of a recipe: unknown keys are errors, and nothing changes after it was read."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _known(value: object) -> object:
    """What can be read of a picture: "rgb", a named set, or channel indices.

    Raises:
        ValueError: none of these; the message says what there is.
    """
    if isinstance(value, list | tuple):
        if not value or len(set(value)) < len(value):
            raise ValueError("channels are indices, at least one and none twice")
        if not all(isinstance(c, int) and 0 <= c < COUNT for c in value):
            raise ValueError(f"channels are indices from 0 to {COUNT - 1}")
        return tuple(value)
    if value == "rgb" or (isinstance(value, int) and value in SETS):
        return value
    raise ValueError(
        f'input is "rgb", a named set {sorted(SETS)}, a list of channel indices, or a file of them; '
        f"got {value!r}"
    )


# Pictures as they are, the frequency channels of a named set, or channel indices.
Input = Annotated[Literal["rgb"] | int | Channels, BeforeValidator(_known)]


def channels_of(chosen: Literal["rgb"] | int | Channels) -> Channels | None:
    """The channels an input stands for; None for RGB."""
    if isinstance(chosen, int):
        return SETS[chosen]
    return None if isinstance(chosen, str) else chosen


class CascadeNetwork(Section):
    """Low and high network, without what the data decides (see `models.Architecture`)."""

    kind: Literal["cascade"] = "cascade"
    structure: int = 3
    fusion: str = "concatenate"
    stages: tuple[int, ...] = (0, 1, 2, 3)
    low_width: float = 0.5
    high_width: float = 0.5
    stem: int = 32
    strides: Four = STRIDES
    layers: Four = LAYERS

    @property
    def steps(self) -> int:
        """How many training steps it takes."""
        return 2

    def architecture(self, classes: int) -> Architecture:
        """The architecture for so many classes."""
        return Architecture(classes=classes, **self.model_dump(exclude={"kind"}))


class _Single(Section):
    @property
    def steps(self) -> int:
        """How many training steps it takes."""
        return 1


class ResNet50(_Single):
    """One ResNet-50, on RGB or on frequency channels (Xu et al.)."""

    kind: Literal["resnet50"]
    input: Input
    width: float = Field(default=1.0, gt=0)
    strides: Four = STRIDES
    layers: Four = LAYERS


class MobileNetV2(_Single):
    """One MobileNetV2, on RGB or on frequency channels (Xu et al.)."""

    kind: Literal["mobilenetv2"]
    input: Input
    width: float = Field(default=1.0, gt=0)


class Gate(_Single):
    """ResNet-50 on all 192 channels behind the dynamic gate of Xu et al., section 3.2."""

    kind: Literal["gate"]
    # Their lambda: what all channels open would add to the loss.
    cost: float = Field(ge=0)
    width: float = Field(default=1.0, gt=0)
    strides: Four = STRIDES
    layers: Four = LAYERS


class Patch(_Single):
    """One ResNet-50 on RGB in patches of 4x4 pixels: the rival, which can start from a cascade's weights."""

    kind: Literal["patch"]
    width: float = Field(default=0.5, gt=0)
    stem: int = Field(default=64, gt=0)
    strides: Four = STRIDES
    layers: Four = LAYERS


Network = Annotated[CascadeNetwork | ResNet50 | MobileNetV2 | Gate | Patch, Field(discriminator="kind")]
