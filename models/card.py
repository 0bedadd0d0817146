"""The card: what a checkpoint says of itself, kept as JSON in the metadata of its safetensors file."""

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)

from overtone.frequency.profile import Profile
from overtone.models.body_cascade import AnyArchitecture
from overtone.models.mix import Mix
from overtone.models.operating_point import OperatingPoint

# In a validation context: take certificates made for another profile too, in order to replace them.
STALE = "stale certificates"


class CardError(ValueError):
    """A card that does not hold together, or something asked of it that it does not have."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Temperature(_Section):
    """What the logits are divided by before the softmax (Guo et al. 2017), per stage."""

    low: float = Field(default=1.0, gt=0)
    high: float = Field(default=1.0, gt=0)


class Accuracy(_Section):
    """Top-1 (fractions) in the three modes on `n` pictures of `data`, at one quality and threshold.

    Bytes are means per image of the payloads as encoded.
    """

    data: str
    n: int
    quality: int
    threshold: float
    low: float
    both: float
    cascade: float
    exit_share: float
    low_bytes: float
    high_bytes: float
    mean_bytes: float


class Training(_Section):
    """Where the weights come from."""

    recipe: str
    data: str
    images: int
    calibration_images: int
    epochs: tuple[int, ...]
    seed: int
    torch: str


class Costs(_Section):
    """Parameters, and multiply-adds of the low path and of low + high per image."""

    parameters: int
    low_macs: int
    macs: int


class Card(_Section):
    """Everything about a checkpoint but its weights.

    An operating point may stand in it several times, certified for one quality each.
    """

    name: str
    architecture: AnyArchitecture
    profile: Profile
    # Names of the class folders it was trained on, in the order of the profile's labels.
    classes: tuple[str, ...]
    temperature: Temperature = Temperature()
    # The high answer is high's logits alone, or mixed with low's.
    mix: Mix | None = None
    operating_points: tuple[OperatingPoint, ...] = Field(min_length=1)
    operating_point: str
    cost: Costs
    training: Training | None = None
    accuracy: tuple[Accuracy, ...] = ()

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

    def check(self) -> None:
        """Refuse certificates of another profile: its bytes and its logits are not what was measured.

        Raises:
            CardError: there are some; the message says which and what to do.
        """
        mine = self.profile.id.hex()
        stale = [p for p in self.operating_points if p.profile not in (None, mine)]
        if stale:
            names, others = sorted({p.name for p in stale}), sorted({str(p.profile) for p in stale})
            raise CardError(
                f"operating points {', '.join(names)} are certified for profile {', '.join(others)}, and the "
                f"profile is {mine} now: run `overtone calibrate` again"
            )

    def point(self, name: str | None = None, quality: int | None = None) -> OperatingPoint:
        """The operating point of that name, or the default one, for a quality (or the profile's default).

        Without one for that quality it is the default quality's, which promises nothing there.

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

    def threshold(self, name: str | None = None, quality: int | None = None) -> float:
        """Low confidence from which a low answer is final."""
        return self.point(name, quality).threshold

    def certified(self) -> dict[str, tuple[int, ...]]:
        """By operating point the qualities it is certified for; at others its threshold promises nothing."""
        names = dict.fromkeys(p.name for p in self.operating_points)
        return {
            name: tuple(
                p.quality
                for p in self.operating_points
                if p.name == name and p.method is not None and p.quality is not None
            )
            for name in names
        }

    def to_json(self) -> str:
        """The card as JSON; the profile stands in it as a string of its own canonical JSON."""
        return self.model_dump_json()
