"""A served model as devices fetch it: profile, card and labels, serialised once because that takes milliseconds."""

import gzip
import json
import zlib
from collections.abc import Set
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from overtone.frequency import ProfileError, pack_part, part_of
from overtone.gpu_server.answer import Options
from overtone.gpu_server.errors import BadRequest
from overtone.gpu_server.tasks.task import Task
from overtone.models.any_card import AnyCard

# Parts of a profile that are cached: those of all layers and qualities, for any profile that is likely.
CACHED_PARTS = 64


@dataclass(frozen=True, slots=True)
class Document:
    """A document as JSON, and the same compressed as gzip (RFC 1952)."""

    text: str
    gzipped: bytes

    @classmethod
    def of(cls, text: str) -> "Document":
        """Compress a document."""
        return cls(text, gzip.compress(text.encode(), mtime=0))


@dataclass(frozen=True, slots=True)
class Description:
    """A model as DescribeModel, `GET /v1/model`, `GET /v1/profile` and `GET /v1/labels` describe it.

    Attributes:
        name: of the model.
        profile_id: the first bytes of the profile's hash.
        profile: the profile as canonical JSON.
        packed_profile: the same, compressed.
        card: the card as JSON, and `certified`: for each operating point the qualities it is certified for.
        short_card: the same without the profile, the training, and operating points of other qualities.
        labels: labels and classes as JSON.
        packed_labels: the same, compressed.
        profile_parts: makes parts of the profile on request, and caches them.
    """

    name: str
    profile_id: bytes
    profile: Document
    packed_profile: bytes
    card: Document
    short_card: str
    labels: Document
    packed_labels: bytes
    profile_parts: "ProfileParts"

    @classmethod
    def of(cls, card: AnyCard, task: Task[Any], name: str = "") -> "Description":
        """Describe a model, which may be served under another name than its card's."""
        profile = card.profile
        named = {"labels": profile.labels, "classes": card.classes}
        labels = json.dumps(named, ensure_ascii=False, separators=(",", ":"))
        return cls(
            name=name or card.name,
            profile_id=profile.id,
            profile=Document.of(profile.to_json()),
            packed_profile=profile.pack(),
            card=Document.of(_to_json(card, card)),
            short_card=_to_json(_shortened(card), card, {"profile", "training"}),
            labels=Document.of(labels),
            packed_labels=zlib.compress(labels.encode(), 9),
            profile_parts=ProfileParts(task),
        )


class ProfileParts:
    """Parts of a profile in their compact form, and what devices are to expect of them."""

    def __init__(self, task: Task[Any]) -> None:
        self._task = task
        self._profile = task.profile
        self._packed = lru_cache(CACHED_PARTS)(self._pack)

    def packed(self, quality: int | None, after: int = 0, layers: int = 0) -> bytes:
        """The part for a quality (the default one if None) with tables of layers `after` + 1 to `layers` (0: all).

        The first time, this takes some tens of milliseconds, so call it in a thread.

        Raises:
            BadRequest: the profile has no such quality or layers.
        """
        whole = self._profile
        quality, layers = whole.quality if quality is None else quality, layers or whole.layers
        if not 0 <= after < layers:
            raise BadRequest(f"no layers after {after} up to {layers}")
        try:
            return self._packed(quality, after, layers)
        except ProfileError as error:
            raise BadRequest(str(error)) from None

    def exit_share(self, operating_point: str, quality: int | None) -> float | None:
        """The share of images that the first layer answers, if the card knows it.

        Raises:
            BadRequest: the card has no such operating point.
        """
        return self._task.exit_share(Options(operating_point), quality)

    def _pack(self, quality: int, after: int, layers: int) -> bytes:
        return pack_part(part_of(self._profile, quality, layers), after)


def _shortened(card: AnyCard) -> AnyCard:
    """The card with the operating points of the default quality; all would cost a session as much as ten images."""
    main = tuple(p for p in card.operating_points if p.quality in (None, card.profile.quality))
    return card.model_copy(update={"operating_points": main or card.operating_points})


def _to_json(card: AnyCard, whole: AnyCard, exclude: Set[str] = frozenset()) -> str:
    fields = card.model_dump(mode="json", exclude_none=True, exclude=set(exclude))
    return json.dumps(fields | {"certified": whole.certified()}, separators=(",", ":"))
