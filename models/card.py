"""The card of a classifier: everything about a checkpoint except its weights.

It is stored as JSON in the metadata of the safetensors file; `models.checkpoint` reads and writes it.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from overtone.models.architectures import AnyArchitecture
from overtone.models.common_card import CommonCard, Section
from overtone.models.mix import Mix
from overtone.models.operating_point import OperatingPoint


class Accuracy(Section):
    """Top-1 accuracy on `n` images of the split `data`, at one quality and the thresholds of one operating point.

    Attributes:
        thresholds: as in `OperatingPoint`.
        top1: accuracy of the answer after each layer, as a fraction.
        sizes: mean payload bytes of each layer.
        shares: fraction of the images that the cascade answers after each layer.
        cascade: accuracy of the cascade, as a fraction.
        mean_bytes: mean payload bytes of the cascade.
    """

    data: str
    n: int
    quality: int
    thresholds: tuple[float, ...]
    top1: tuple[float, ...]
    sizes: tuple[float, ...]
    shares: tuple[float, ...]
    cascade: float
    mean_bytes: float

    @model_validator(mode="before")
    @classmethod
    def _read_two_layers(cls, value: Any) -> Any:
        # Older cards have two layers and a field for each of them.
        if not isinstance(value, dict) or "low" not in value:
            return value
        two = {name: value[name] for name in ("data", "n", "quality", "cascade", "mean_bytes")}
        return two | {
            "thresholds": (value["threshold"],),
            "top1": (value["low"], value["both"]),
            "sizes": (value["low_bytes"], value["high_bytes"]),
            "shares": (value["exit_share"], 1 - value["exit_share"]),
        }


class Training(Section):
    """The run that trained the weights: recipe (as JSON), data set, image counts, epochs of each step, seed, torch."""

    recipe: str
    data: str
    images: int
    calibration_images: int
    epochs: tuple[int, ...]
    seed: int
    torch: str


class Origin(Section):
    """The published weights that training began with.

    With a `teacher`, a body of `library`, the checkpoint has learned the teacher's answers instead of labels.
    Accuracies are then agreement with the teacher on whole images of `size` pixels, and operating points bound
    how often an early answer differs from the full answer.
    """

    weights: str
    licence: str
    teacher: str | None = None
    library: Literal["timm", "torchvision"] = "timm"
    size: int | None = None


class Costs(Section):
    """Parameters, and multiply-adds per image of the low path and of low + high."""

    parameters: int
    low_macs: int
    macs: int


class Card(CommonCard[OperatingPoint]):
    """Everything about the checkpoint of a classifier except its weights.

    Attributes:
        temperatures: what logits are divided by before the softmax (Guo et al. 2017), for each number of layers from
            1 on.
        mix: how low's logits are mixed into the high answer; None uses high's logits alone.
        origin: the published weights that training began with, if there were any.
        accuracy: what was measured, at several qualities.
    """

    architecture: AnyArchitecture
    temperatures: tuple[Annotated[float, Field(gt=0)], ...]
    mix: Mix | None = None
    cost: Costs
    training: Training | None = None
    origin: Origin | None = None
    accuracy: tuple[Accuracy, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _read_two_temperatures(cls, value: Any) -> Any:
        # Older cards have two layers, with a `temperature` of low and high.
        if isinstance(value, dict) and isinstance(two := value.get("temperature"), dict):
            rest = {key: entry for key, entry in value.items() if key != "temperature"}
            return rest | {"temperatures": (two.get("low", 1.0), two.get("high", 1.0))}
        return value

    @model_validator(mode="after")
    def _one_for_each_layer(self) -> Self:
        layers = len(self.profile.ladder)
        if len(self.temperatures) != layers:
            raise ValueError(f"temperatures: need one for each of {layers} layers")
        for point in self.operating_points:
            if len(point.thresholds) != layers - 1:
                raise ValueError(
                    f"operating point {point.name}: need {layers - 1} thresholds for {layers} layers"
                )
        return self
