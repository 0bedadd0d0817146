"""The fields and checks that the cards of all checkpoints share, whatever their task."""

from typing import Generic, Self, TypeVar

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
from overtone.models.operating_point import Certificate

# Key of a validation context: accept certificates made for another profile, in order to replace them.
STALE = "stale certificates"


class CardError(ValueError):
    """A card that contradicts itself, or a request for something that the card does not have."""


class Section(BaseModel):
    """A part of a card."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


Point = TypeVar("Point", bound=Certificate)


class CommonCard(Section, Generic[Point]):
    """A name, a profile, and operating points.

    Attributes:
        name: the checkpoint's, which a server's answers carry.
        profile: everything a device must know to encode for the checkpoint.
        classes: names of the class folders, or categories, of the training data, in the order of the profile's labels.
        operating_points: a name may occur several times, each time certified for another quality.
        operating_point: the name of the default one.
    """

    name: str
    profile: Profile
    classes: tuple[str, ...]
    operating_points: tuple[Point, ...] = Field(min_length=1)
    operating_point: str

    @field_validator("profile", mode="before")
    @classmethod
    def _read_profile(cls, value: object) -> object:
        return Profile.from_json(value) if isinstance(value, str) else value

    @field_serializer("profile")
    def _write_profile(self, profile: Profile) -> str:
        return profile.to_json()

    @model_validator(mode="after")
    def _certificates_hold(self, info: ValidationInfo) -> Self:
        if not (info.context or {}).get(STALE):
            self.check()
        return self

    def check(self) -> None:
        """Refuse certificates of another profile, under which payloads and logits were different.

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

    def point(self, name: str | None = None, quality: int | None = None) -> Point:
        """An operating point by name (or the default one) for a quality (or the profile's default).

        A point that was not certified for that quality is returned as it is for the default quality; its guarantee
        does not hold at others.

        Raises:
            CardError: the card has no such point; the message lists those it has.
        """
        name = name or self.operating_point
        points = [p for p in self.operating_points if p.name == name]
        if not points:
            known = list(dict.fromkeys(p.name for p in self.operating_points))
            raise CardError(f"no operating point {name!r}; this checkpoint has {known}")
        for choice in (quality, self.profile.quality):
            for point in points:
                if choice is not None and point.quality == choice:
                    return point
        return points[0]

    def certified(self) -> dict[str, tuple[int, ...]]:
        """The qualities for which each operating point is certified, by the point's name."""
        qualities: dict[str, tuple[int, ...]] = {p.name: () for p in self.operating_points}
        for p in self.operating_points:
            if p.method is not None and p.quality is not None:
                qualities[p.name] += (p.quality,)
        return qualities

    def to_json(self) -> str:
        """The card as JSON, in which the profile is a string of its own canonical JSON."""
        return self.model_dump_json()
