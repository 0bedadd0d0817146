"""Recipes' network kinds `bodies` (a cascade) and `rgb-body` (its baseline): classifiers of timm or torchvision."""

from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from overtone.models import Body, BodyArchitecture, BodyCascade, Origin, load, read_card
from overtone.models.bodies import create_rgb
from overtone.training.imagenet import classes_of
from overtone.training.network_configs import NetworkConfig, StartError, Tensors, register
from overtone.training.pretrained import Pretrained, find_pretrained
from overtone.training.systems import CascadeSystem, SingleSystem

PRETRAINED = "pretrained"


@register
class BodiesConfig(NetworkConfig):
    """Low and high body; high is trained first.

    Attributes:
        weights: "pretrained" for the published weights of each body, a file with the weights of both (then they
            are the same network), or "" to begin at random.
        low_weights: the same for the low body alone; None if `weights` says it.
        dropout: the share of the classifiers' inputs that training drops, where timm's network has dropout.
    """

    kind: Literal["bodies"] = "bodies"
    steps: ClassVar[int] = 2
    normalises: ClassVar[bool] = False
    low: Body
    high: Body
    weights: str = PRETRAINED
    low_weights: str | None = None
    dropout: float = Field(default=0.0, ge=0, lt=1)

    @property
    def trains_high_first(self) -> bool:
        """Always true for bodies."""
        return True

    def architecture(self, classes: int) -> BodyArchitecture:
        """The architecture for this many classes."""
        return BodyArchitecture(classes=classes, low=self.low, high=self.high)

    def build(self, classes: int) -> CascadeSystem:
        """The cascade with random weights."""
        model = BodyCascade(self.architecture(classes))
        for part in (model.low_network, model.high_network):
            _set_dropout(part.network, self.dropout)
        return CascadeSystem(model)

    def start(self, checkpoint: str, device: torch.device) -> tuple[nn.Module, tuple[str, ...]]:
        """The cascade of a checkpoint with the same bodies."""
        if not self.fits(checkpoint):
            raise StartError(f"{checkpoint} has a different network than the recipe")
        model, card = load(checkpoint, device)
        return model, card.classes

    def fits(self, checkpoint: str) -> bool:
        """Whether a checkpoint has the same bodies."""
        card = read_card(checkpoint)
        return card.architecture == self.architecture(card.architecture.classes)

    def pretrained(self) -> tuple[Tensors, tuple[str, ...]] | None:
        """The published weights of both bodies, which have the same classes.

        Raises:
            PretrainedError: there are none.
            StartError: they are of other networks, or of different classes.
        """
        if not self.weights:
            return None
        low, high = self._published()
        counts = {class_count(self.low, low.weights), class_count(self.high, high.weights)}
        if len(counts) != 1:
            raise StartError(f"the weights of {self.low.name} and {self.high.name} are of different classes")
        tensors = {
            f"{part}_network.network.{name}": value.float()
            for part, found in (("low", low), ("high", high))
            for name, value in found.weights.items()
        }
        return tensors, classes_of(counts.pop())

    def _published(self) -> tuple[Pretrained, Pretrained]:
        chosen = self.weights if self.low_weights is None else self.low_weights
        pairs = (self.low, chosen), (self.high, self.weights)
        low, high = (find_pretrained(b, None if w == PRETRAINED else Path(w)) for b, w in pairs)
        return low, high

    def origin(self, start: str = "") -> Origin | None:
        """The weights that a run begins with: a checkpoint's origin, or the published ones; None for random weights."""
        if start:
            card = read_card(start)
            return card.origin or Origin(weights=f"checkpoint {card.name}", licence="not stated")
        if not self.weights:
            return None
        found = self._published()
        return Origin(
            weights="; ".join(dict.fromkeys(p.origin for p in found)),
            licence="; ".join(dict.fromkeys(p.licence for p in found)),
        )


@register
class RGBBodyConfig(NetworkConfig):
    """One body on RGB images: the baseline of a cascade of bodies.

    Attributes:
        weights: "pretrained" for the published weights, a file, or "" to begin at random.
        dropout: as in `BodiesConfig`.
    """

    kind: Literal["rgb-body"] = "rgb-body"
    multiple: ClassVar[int] = 1
    normalises: ClassVar[bool] = False
    body: Body
    weights: str = PRETRAINED
    dropout: float = Field(default=0.0, ge=0, lt=1)

    @property
    def rgb(self) -> bool:
        """Always true."""
        return True

    def build(self, classes: int) -> SingleSystem:
        """The network with random weights."""
        model = create_rgb(self.body, classes)
        _set_dropout(model.network, self.dropout)
        return SingleSystem(model, None)

    def pretrained(self) -> tuple[Tensors, tuple[str, ...]] | None:
        """The published weights.

        Raises:
            PretrainedError: there are none.
            StartError: they are of another network.
        """
        if not self.weights:
            return None
        found = find_pretrained(self.body, None if self.weights == PRETRAINED else Path(self.weights))
        tensors = {f"network.{name}": value.float() for name, value in found.weights.items()}
        return tensors, classes_of(class_count(self.body, found.weights))


def class_count(body: Body, weights: Tensors) -> int:
    """The number of classes of a body's weights.

    Raises:
        StartError: they are of another network.
    """
    few, more = (_shapes(body, classes) for classes in (10, 11))
    names = {name for name, shape in few.items() if shape != more[name]}
    different = [
        name
        for name, shape in few.items()
        if not name.endswith("num_batches_tracked")
        and (name not in weights or (name not in names and weights[name].shape != shape))
    ]
    if different:
        raise StartError(
            f"the weights are not those of {body.name}: {len(different)} tensors differ, {different[0]} first"
        )
    return int(weights[next(iter(names))].shape[0])


@lru_cache(maxsize=32)
def _shapes(body: Body, classes: int) -> dict[str, torch.Size]:
    """The shapes of the weights of a body that reads images, by name."""
    with torch.device("meta"):
        return {name: value.shape for name, value in create_rgb(body, classes).network.state_dict().items()}


def _set_dropout(network: nn.Module, share: float) -> None:
    if isinstance(getattr(network, "drop_rate", None), float):
        network.drop_rate = share  # type: ignore[assignment]
