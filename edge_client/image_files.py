"""Image files for commands: finding them, their classes by folder names, and their size as JPEG."""

import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from PIL import Image

from overtone.edge_client.errors import BadImage
from overtone.edge_client.task import Task
from overtone.frequency import ImageError, LetterBox, Source, fit, open_rgb

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".jp2"}
)
JPEG_QUALITY = 75


def find(paths: Iterable[str | Path]) -> Iterator[Path]:
    """The files that are named, and all images below the folders that are named.

    The images of a folder come in the order of their names; hidden files and folders are left out.
    """
    for path in map(Path, paths):
        if path.is_dir():
            yield from (p for p in sorted(path.rglob("*")) if is_image(p, path))
        else:
            yield path


def class_names(labels: Iterable[str], folders: Iterable[str] = ()) -> dict[str, str]:
    """The label for each folder name: the labels themselves, and the names of class folders in the same order."""
    labels = list(labels)
    return dict(zip(folders, labels, strict=False)) | {label: label for label in labels}


def truth(path: Path, names: Mapping[str, str]) -> str | None:
    """The label of an image by the name of its folder; None if the folder is not named after a class."""
    return names.get(path.absolute().parent.name)


def jpeg_bytes(source: Source, size: int, task: Task = "classify") -> int:
    """The size of the same image as an optimised JPEG of quality 75, at half of the profile's size.

    The 24 channels at `size` hold exactly what a 4:2:0 image of half that side holds. For a detector it is the whole
    picture, of which half that side is the longest.

    Raises:
        BadImage: the image cannot be read.
    """
    buffer = io.BytesIO()
    try:
        scaled(source, size // 2, task).save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    except ImageError as error:
        raise BadImage(str(error)) from error
    return buffer.tell()


def scaled(source: Source, side: int, task: Task) -> Image.Image:
    """The image that a device without this codec would send: for a classifier its centre, `side` pixels square.

    For a detector it is the whole picture, with a longest side of `side` pixels.

    Raises:
        ImageError: the image cannot be read.
    """
    if task == "classify":
        return Image.fromarray(fit(open_rgb(source, side), side))
    picture = open_rgb(source)
    return picture.resize(LetterBox(side, *picture.size).content, Image.Resampling.BICUBIC)


def is_image(path: Path, folder: Path) -> bool:
    """Whether a file below a folder is an image by its name, and not hidden."""
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return not hidden and path.suffix.lower() in SUFFIXES and path.is_file()
