"""What a load test sends, made ready beforehand, and what it counts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from benchmarks.pictures import gather
from edge_client.pictures import class_names, code, truth
from frequency import Encoded, Profile


@dataclass(frozen=True)
class Parcel:
    """An encoded picture, and the index of its class where its folder tells."""

    encoded: Encoded
    truth: int | None


@dataclass(frozen=True)
class Outcome:
    """How a picture ended; bytes are those of the payloads that were sent."""

    stage: str
    index: int
    bytes_up: int


@dataclass
class Tally:
    """Sums over pictures, of one process or of several."""

    pictures: int = 0
    failed: int = 0
    from_low: int = 0
    known: int = 0
    right: int = 0
    bytes_up: int = 0

    def add(self, outcome: Outcome, parcel: Parcel) -> None:
        """Count an answered picture."""
        self.pictures += 1
        self.from_low += outcome.stage != "high"
        self.bytes_up += outcome.bytes_up
        if parcel.truth is not None:
            self.known += 1
            self.right += outcome.index == parcel.truth

    def take(self) -> dict[str, int]:
        """What there is, which is then gone from here: to be sent to another process."""
        taken = asdict(self)
        self.__init__()  # type: ignore[misc]
        return taken

    def merge(self, other: Mapping[str, int]) -> None:
        """Add what another process has taken."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + other[field.name])

    def figures(self) -> dict[str, Any]:
        """Means and shares; None where nothing was counted."""
        return {
            "pictures": self.pictures,
            "failed": self.failed,
            "mean_payload_bytes": self.bytes_up / self.pictures if self.pictures else None,
            "exit_share": self.from_low / self.pictures if self.pictures else None,
            "accuracy": self.right / self.known if self.known else None,
            "labelled": self.known,
        }


def prepare(
    profile: Profile,
    classes: Sequence[str],
    images: Path | None,
    count: int,
    quality: int | None,
    breathe: Callable[[], None] = lambda: None,
) -> tuple[list[Parcel], str]:
    """Encode pictures, so that under load the generator only sends.

    Args:
        profile: the served model's.
        classes: folder names of the model's classes, in the order of its labels.
        images: see `benchmarks.pictures.gather`.
        count: at most so many pictures.
        quality: one of the profile's; None is its default.
        breathe: called after each picture.

    Returns:
        The parcels, and one line on where they come from.
    """
    gallery = gather(images, count)
    names = class_names(profile.labels, classes)
    parcels = []
    for path in gallery.paths:
        label = truth(path, names)
        index = None if label is None else profile.labels.index(label)
        parcels.append(Parcel(code(path, profile, quality).encoded, index))
        breathe()
    note = f"; {gallery.note}" if gallery.note else ""
    return parcels, f"{len(parcels)} pictures from {gallery.origin}{note}"
