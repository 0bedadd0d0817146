"""From paths, folders, bytes and arrays to payloads."""

import io
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from overtone.edge_client.errors import BadPicture
from overtone.frequency import Encoded, FrequencyError, ImageError, Profile, encode, fit, open_rgb
from overtone.frequency.pixels import Source

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".jp2"}
)
JPEG_QUALITY = 75


@dataclass(frozen=True)
class Coded:
    """A picture's payloads, and how long it took to make them."""

    encoded: Encoded
    milliseconds: float


def find(paths: Iterable[str | Path]) -> Iterator[Path]:
    """Files as they are named; of a folder, all pictures below it in order of name, hidden ones left out."""
    for path in map(Path, paths):
        if path.is_dir():
            yield from (p for p in sorted(path.rglob("*")) if _is_picture(p, path))
        else:
            yield path


def code(source: Source, profile: Profile, quality: int | None) -> Coded:
    """Read, fit and encode a picture; takes milliseconds, so call it off the event loop.

    Raises:
        BadPicture: it cannot be read, or the profile has no such quality.
    """
    start = time.perf_counter()
    try:
        encoded = encode(fit(open_rgb(source, profile.size), profile.size), profile, quality)
    except (ImageError, FrequencyError, TypeError) as error:
        raise BadPicture(str(error)) from error
    return Coded(encoded, 1e3 * (time.perf_counter() - start))


def jpeg_bytes(source: Source, size: int) -> int:
    """What the same picture costs as an optimised JPEG of quality 75, at the network's equivalent size.

    The 24 channels at `size` are exactly a 4:2:0 picture of half that side.

    Raises:
        BadPicture: it cannot be read.
    """
    buffer = io.BytesIO()
    try:
        picture = Image.fromarray(fit(open_rgb(source, size // 2), size // 2))
        picture.save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    except ImageError as error:
        raise BadPicture(str(error)) from error
    return buffer.tell()


def class_names(labels: Iterable[str], folders: Iterable[str] = ()) -> dict[str, str]:
    """Label by folder name: the labels themselves and, where a card names them, its classes' folders."""
    labels = list(labels)
    return dict(zip(folders, labels, strict=False)) | {label: label for label in labels}


def truth(path: Path, names: Mapping[str, str]) -> str | None:
    """The label a picture's folder gives it, if the folder is named after a class."""
    return names.get(path.absolute().parent.name)


def _is_picture(path: Path, below: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(below).parts)
    return not hidden and path.suffix.lower() in SUFFIXES and path.is_file()
