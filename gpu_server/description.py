"""Descriptions of the served model, made once, because making them takes milliseconds."""

import json
from collections.abc import Set
from dataclasses import dataclass

from overtone.models import Card


@dataclass(frozen=True, slots=True)
class Description:
    """A model as DescribeModel, `GET /v1/model` and `GET /v1/profile` describe it.

    Attributes:
        name: of the model.
        profile_id: the first bytes of the profile's hash.
        profile: the profile as canonical JSON.
        packed_profile: the same, compressed.
        card: the card as JSON, and `certified`: for each operating point the qualities it is certified for.
        short_card: the same without what a device does not need.
    """

    name: str
    profile_id: bytes
    profile: str
    packed_profile: bytes
    card: str
    short_card: str

    @classmethod
    def of(cls, card: Card) -> "Description":
        """Describe a model."""
        profile = card.profile
        return cls(
            name=card.name,
            profile_id=profile.id,
            profile=profile.to_json(),
            packed_profile=profile.pack(),
            card=_to_json(card, card),
            short_card=_to_json(_shortened(card), card, {"profile", "training"}),
        )


def _shortened(card: Card) -> Card:
    """Only with the operating points of the default quality; all would cost a session as much as ten images."""
    main = tuple(p for p in card.operating_points if p.quality in (None, card.profile.quality))
    return card.model_copy(update={"operating_points": main or card.operating_points})


def _to_json(card: Card, whole: Card, exclude: Set[str] = frozenset()) -> str:
    fields = card.model_dump(mode="json", exclude_none=True, exclude=set(exclude))
    return json.dumps(fields | {"certified": whole.certified()}, separators=(",", ":"))
