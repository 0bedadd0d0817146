"""The card: what a checkpoint says of itself, kept as JSON in the metadata of its safetensors file."""

from pydantic import BaseModel, ConfigDict, Field, field_serializer, field_validator

from frequency.profile import Profile
from models.cascade import Architecture


class CardError(ValueError):
    """A card that does not hold together, or something asked of it that it does not have."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Temperature(_Section):
    """What the logits are divided by before the softmax (Guo et al. 2017), per stage."""

    low: float = Field(default=1.0, gt=0)
    high: float = Field(default=1.0, gt=0)


class OperatingPoint(_Section):
    """A threshold on the low confidence, and what was measured when it was chosen.

    With `alpha` set, the accuracy lost by answering early is at most alpha in expectation (conformal risk
    control, Angelopoulos et al. 2022) for images like the `n` calibration images it was chosen on.
    """

    name: str
    threshold: float = Field(ge=0)
    alpha: float | None = None
    n: int = 0
    exit_share: float | None = None
    mean_bytes: float | None = None


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
    """Everything about a checkpoint but its weights."""

    name: str
    architecture: Architecture
    profile: Profile
    # Names of the class folders it was trained on, in the order of the profile's labels.
    classes: tuple[str, ...]
    temperature: Temperature = Temperature()
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

    def point(self, name: str | None = None) -> OperatingPoint:
        """The operating point of that name, or the default one.

        Raises:
            CardError: the card has no such point; the message lists those it has.
        """
        wanted = name or self.operating_point
        for point in self.operating_points:
            if point.name == wanted:
                return point
        known = [p.name for p in self.operating_points]
        raise CardError(f"no operating point {wanted!r}; this checkpoint has {known}")

    def threshold(self, name: str | None = None) -> float:
        """Low confidence from which a low answer is final."""
        return self.point(name).threshold

    def to_json(self) -> str:
        """The card as JSON; the profile stands in it as a string of its own canonical JSON."""
        return self.model_dump_json()
