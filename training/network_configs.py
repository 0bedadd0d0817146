"""The kinds of network that a recipe can name, a class for each. Further kinds are added with `register`."""

from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import torch
from pydantic import BeforeValidator, Field, SerializeAsAny
from torch import nn

from overtone.models import Architecture, Cost, Origin, ResNetCascade, cost, load
from overtone.models.resnet import LAYERS, STRIDES
from overtone.training.baseline_network import PatchResNet, from_cascade
from overtone.training.section import Section
from overtone.training.systems import CascadeSystem, SingleSystem

Four = tuple[int, int, int, int]
Tensors = dict[str, torch.Tensor]


class StartError(ValueError):
    """A checkpoint whose weights a network cannot start from."""


class NetworkConfig(Section):
    """The table `network` of a recipe: a network but for its number of classes and its weights."""

    kind: str
    # Number of training steps.
    steps: ClassVar[int] = 1
    # The side of an image is a multiple of this many pixels.
    multiple: ClassVar[int] = 8
    # Whether it has a normalisation that is measured on training images.
    normalises: ClassVar[bool] = True

    @property
    def trains_high_first(self) -> bool:
        """Whether low can learn from high's answers."""
        return False

    @property
    def rgb(self) -> bool:
        """Whether it reads RGB images instead of coefficients."""
        return False

    def build(self, classes: int) -> SingleSystem:
        """The network with random weights."""
        raise NotImplementedError

    def start(self, checkpoint: str, device: torch.device) -> tuple[nn.Module, tuple[str, ...]]:
        """A network of this kind with the weights of a checkpoint, and the classes it was trained on.

        Raises:
            StartError: the checkpoint holds a different network.
        """
        raise StartError(f"{checkpoint}: a network of kind {self.kind} cannot start from a checkpoint")

    def pretrained(self) -> tuple[Tensors, tuple[str, ...]] | None:
        """Published weights by the network's names, and their classes; None if training begins with random weights."""
        return None

    def origin(self, start: str = "") -> Origin | None:
        """The published weights that a run begins with; None if it begins with random ones."""
        return None

    def class_weights(self, classes: int) -> set[str]:
        """The names of the weights whose shape depends on the number of classes."""
        these, others = (_shapes(self, n) for n in (classes, classes + 1))
        return {name for name, shape in these.items() if shape != others[name]}

    def check_size(self, size: int) -> None:
        """Refuse a side in pixels that the network cannot read.

        Raises:
            ValueError: the message says which sides it can.
        """
        if size % self.multiple:
            raise ValueError(f"size: {size} is not a multiple of {self.multiple}")

    def cost_at(self, classes: int, size: int) -> Cost:
        """Its cost at size x size pixels, counted without allocating the network."""
        return _cost(self, classes, size)


# Without memory networks are slow to build, and a run asks for the same ones several times.
@lru_cache(maxsize=32)
def _cost(config: NetworkConfig, classes: int, size: int) -> Cost:
    with torch.device("meta"):
        system = config.build(classes)
        return cost(system.module, size, None if system.channels is None else len(system.channels))


@lru_cache(maxsize=32)
def _shapes(config: NetworkConfig, classes: int) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {name: value.shape for name, value in config.build(classes).module.state_dict().items()}


KINDS: dict[str, type[NetworkConfig]] = {}
C = TypeVar("C", bound=NetworkConfig)


def register(config: type[C]) -> type[C]:
    """Let recipes name this kind of network."""
    KINDS[config.model_fields["kind"].default] = config
    return config


def _by_kind(value: Any) -> Any:
    """The configuration of a table, whose kind is a cascade unless it says otherwise."""
    if not isinstance(value, dict):
        return value
    kind = value.get("kind", "cascade")
    if kind not in KINDS:
        raise ValueError(f"no kind of network {kind!r}; there are {', '.join(sorted(KINDS))}")
    return KINDS[kind].model_validate(value)


Network = Annotated[SerializeAsAny[NetworkConfig], BeforeValidator(_by_kind)]


@register
class CascadeConfig(NetworkConfig):
    """A cascade of two ResNets; see `models.Architecture`."""

    kind: Literal["cascade"] = "cascade"
    steps: ClassVar[int] = 2
    structure: int = 3
    fusion: str = "concatenate"
    stages: tuple[int, ...] = (0, 1, 2, 3)
    low_width: float = 0.5
    high_width: float = 0.5
    stem: int = 32
    strides: Four = STRIDES
    layers: Four = LAYERS

    @property
    def trains_high_first(self) -> bool:
        """True for structure 3."""
        return self.structure == 3

    def architecture(self, classes: int) -> Architecture:
        """The architecture for this many classes."""
        return Architecture(classes=classes, **self.model_dump(exclude={"kind"}))

    def build(self, classes: int) -> CascadeSystem:
        """The cascade with random weights."""
        return CascadeSystem(ResNetCascade(self.architecture(classes)))

    def start(self, checkpoint: str, device: torch.device) -> tuple[nn.Module, tuple[str, ...]]:
        """The cascade of a checkpoint."""
        model, card = load(checkpoint, device)
        if card.architecture != self.architecture(card.architecture.classes):
            raise StartError(f"{checkpoint} has a different network than the recipe")
        return model, card.classes


@register
class BaselineConfig(NetworkConfig):
    """One ResNet-50 on RGB images in patches of 4x4 pixels, which can start from a cascade's weights."""

    kind: Literal["patch"] = "patch"
    multiple: ClassVar[int] = 4
    width: float = Field(default=0.5, gt=0)
    stem: int = Field(default=64, gt=0)
    strides: Four = STRIDES
    layers: Four = LAYERS

    @property
    def rgb(self) -> bool:
        """Always true."""
        return True

    def build(self, classes: int) -> SingleSystem:
        """The network with random weights."""
        return SingleSystem(PatchResNet(classes, self.width, self.stem, self.strides, self.layers), None)

    def start(self, checkpoint: str, device: torch.device) -> tuple[nn.Module, tuple[str, ...]]:
        """The high network of a checkpoint, rewritten to read pixels."""
        cascade, card = load(checkpoint, device)
        model = from_cascade(cascade)
        same = self.build(len(card.classes)).module.state_dict()
        if {k: v.shape for k, v in model.state_dict().items()} != {k: v.shape for k, v in same.items()}:
            raise StartError(f"{checkpoint} has a different network than the recipe")
        return model, card.classes
