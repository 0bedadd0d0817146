"""The card: what a checkpoint says about itself, stored as JSON in the metadata of its safetensors file."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)

from overtone.frequency.profile import Profile
from overtone.models.architectures import AnyArchitecture
from overtone.models.mix import Mix
from overtone.models.operating_point import OperatingPoint

# Key of a validation context: accept certificates made for another profile, in order to replace them.
STALE = "stale certificates"


class CardError(ValueError):
    """A card that contradicts itself, or a request for something that the card does not have."""


def one_line(error: ValidationError) -> str:
    """What pydantic found wrong and where, on one line."""
    found = []
    for each in error.errors(include_url=False):
        where = ".".join(str(part) for part in each["loc"])
        found.append(": ".join(filter(None, (where, each["msg"].removeprefix("Value error, ")))))
    return "; ".join(found)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Accuracy(_Section):
    """Top-1 (fractions) on `n` images of `data`, at one quality and the thresholds of one operating point.

    Attributes:
        thresholds: as in `OperatingPoint`.
        top1: of the answer after each layer.
        sizes: mean payload bytes of each layer.
        shares: of the images, how many the cascade answers after each layer.
        cascade: top-1 of the cascade.
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
        # Cards of ladders of two layers named each of them.
        if not isinstance(value, dict) or "low" not in value:
            return value
        two = {name: value[name] for name in ("data", "n", "quality", "cascade", "mean_bytes")}
        return two | {
            "thresholds": (value["threshold"],),
            "top1": (value["low"], value["both"]),
            "sizes": (value["low_bytes"], value["high_bytes"]),
            "shares": (value["exit_share"], 1 - value["exit_share"]),
        }


class Training(_Section):
    """Where the weights come from."""

    recipe: str
    data: str
    images: int
    calibration_images: int
    epochs: tuple[int, ...]
    seed: int
    torch: str


class Origin(_Section):
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


class Costs(_Section):
    """Parameters, and multiply-adds per image of the low path and of low + high."""

    parameters: int
    low_macs: int
    macs: int


class Card(_Section):
    """Everything about a checkpoint except its weights.

    Attributes:
        name: of the checkpoint; devices and answers show it.
        profile: everything a device must know to encode for it.
        classes: names of the class folders of the training data, in the order of the profile's labels.
        temperatures: what logits are divided by before the softmax (Guo et al. 2017), for each number of layers from
            1 on.
        mix: how low's logits are mixed into the high answer; None uses high's logits alone.
        operating_points: one may occur several times, certified for a different quality each time.
        operating_point: the name of the default operating point.
        origin: the published weights that training began with, if there were any.
        accuracy: what was measured on held-out images.
    """

    name: str
    architecture: AnyArchitecture
    profile: Profile
    classes: tuple[str, ...]
    temperatures: tuple[Annotated[float, Field(gt=0)], ...]
    mix: Mix | None = None
    operating_points: tuple[OperatingPoint, ...] = Field(min_length=1)
    operating_point: str
    cost: Costs
    training: Training | None = None
    origin: Origin | None = None
    accuracy: tuple[Accuracy, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _read_two_temperatures(cls, value: Any) -> Any:
        # Cards of ladders of two layers were written with a `temperature` of low and high.
        if isinstance(value, dict) and isinstance(two := value.get("temperature"), dict):
            rest = {key: entry for key, entry in value.items() if key != "temperature"}
            return rest | {"temperatures": (two.get("low", 1.0), two.get("high", 1.0))}
        return value

    @field_validator("profile", mode="before")
    @classmethod
    def _read_profile(cls, value: object) -> object:
        return Profile.from_json(value) if isinstance(value, str) else value

    @field_serializer("profile")
    def _write_profile(self, profile: Profile) -> str:
        return profile.to_json()

    @model_validator(mode="after")
    def _certificates_hold(self, info: ValidationInfo) -> "Card":
        if not (info.context or {}).get(STALE):
            self.check()
        return self

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

    def check(self) -> None:
        """Refuse certificates of another profile, under which bytes and logits were different.

        Raises:
            CardError: the card has such certificates; the message says which and what to do.
        """
        mine = self.profile.id.hex()
        stale = [p for p in self.operating_points if p.profile not in (None, mine)]
        if stale:
            names, others = sorted({p.name for p in stale}), sorted({str(p.profile) for p in stale})
            raise CardError(
                f"operating points {', '.join(names)} are certified for profile {', '.join(others)}, but the "
                f"profile is {mine}: run `overtone calibrate` again"
            )

    def point(self, name: str | None = None, quality: int | None = None) -> OperatingPoint:
        """An operating point by name (or the default one) for a quality (or the profile's default).

        If it was not certified for that quality, the point of the default quality is returned, which
        guarantees nothing at other qualities.

        Raises:
            CardError: the card has no such point; the message lists those it has.
        """
        wanted = name or self.operating_point
        found = [p for p in self.operating_points if p.name == wanted]
        if not found:
            known = list(dict.fromkeys(p.name for p in self.operating_points))
            raise CardError(f"no operating point {wanted!r}; this checkpoint has {known}")
        for choice in (quality, self.profile.quality):
            for point in found:
                if choice is not None and point.quality == choice:
                    return point
        return found[0]

    def certified(self) -> dict[str, tuple[int, ...]]:
        """By operating point, the qualities for which it is certified."""
        found: dict[str, tuple[int, ...]] = {p.name: () for p in self.operating_points}
        for p in self.operating_points:
            if p.method is not None and p.quality is not None:
                found[p.name] += (p.quality,)
        return found

    def to_json(self) -> str:
        """The card as JSON, in which the profile is a string of its own canonical JSON."""
        return self.model_dump_json()
