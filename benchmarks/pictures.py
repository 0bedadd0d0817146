"""Photographs to measure with: a folder, or the best that this machine can give."""

import contextlib
import importlib.util
import os
import random
import socket
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

from overtone.edge_client.image_files import find

DATA_VARIABLE = "OVERTONE_DATA"
# A network that swallows packets must not keep a demo waiting.
PATIENCE = 10.0
FOREIGN = (
    "these photographs come with scikit-image and lie outside the checkpoint's classes: "
    "their answers mean nothing, their bytes do"
)
# Those in scikit-image's wheel that a camera took; the rest are drawings, text and textures, or fetched.
PHOTOGRAPHS = (
    "astronaut.png",
    "camera.png",
    "chelsea.png",
    "clock_motion.png",
    "coffee.png",
    "coins.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "motorcycle_right.png",
    "retina.jpg",
    "rocket.jpg",
)


class NoPicturesError(ValueError):
    """There are none where they were said to be; the message says where."""


@dataclass(frozen=True)
class Gallery:
    """Pictures, where they come from, and what to keep in mind about them."""

    paths: tuple[Path, ...]
    origin: str
    note: str = ""


def gather(images: Path | None = None, count: int | None = None) -> Gallery:
    """Pictures from `images`, else `OVERTONE_DATA`, else Imagenette, else those inside scikit-image.

    Of a folder with val/ in it only that part is used. `count` pictures are drawn evenly from the
    sub-folders, the same ones every time.

    Raises:
        NoPicturesError: the folder that was named holds none, or no source has any.
    """
    named = images or _environment()
    if named is not None:
        return Gallery(_from_folder(named, count), str(named))
    with contextlib.suppress(OSError, ImportError):
        folder = _imagenette()
        return Gallery(_from_folder(folder, count), "Imagenette (fetched by torchvision)")
    return Gallery(tuple(_inside_scikit_image()[:count]), "scikit-image", FOREIGN)


def draw(paths: Iterable[Path], count: int | None) -> tuple[Path, ...]:
    """`count` of the paths, as many of each parent folder as can be, taking turns; all when None."""
    groups: dict[Path, list[Path]] = {}
    for path in paths:
        groups.setdefault(path.parent, []).append(path)
    order = random.Random(0)
    for group in groups.values():
        order.shuffle(group)
    turns = chain.from_iterable(zip_longest(*groups.values()))
    return tuple(path for path in turns if path is not None)[:count]


def _from_folder(folder: Path, count: int | None) -> tuple[Path, ...]:
    if not folder.is_dir():
        raise NoPicturesError(
            f"{folder}: no such folder; give one that holds pictures, or a sub-folder per class"
        )
    part = folder / "val"
    paths = draw(find([part if part.is_dir() else folder]), count)
    if not paths:
        raise NoPicturesError(f"{folder}: no pictures in it; give a folder that holds some")
    return paths


def _environment() -> Path | None:
    named = os.environ.get(DATA_VARIABLE)
    return Path(named) if named else None


def cache_folder() -> Path:
    """Where downloads are kept, by the XDG base directory convention."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "overtone"


def _imagenette() -> Path:
    from overtone.training.vision import fetch_imagenette

    folder = cache_folder()
    if not any(folder.glob("imagenette*/val")):
        print(f"fetching Imagenette (about 330 MB, once) into {folder} ...", file=sys.stderr)
    with _impatient(), contextlib.redirect_stdout(sys.stderr):
        return fetch_imagenette(folder)


@contextlib.contextmanager
def _impatient() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _inside_scikit_image() -> Sequence[Path]:
    """Found without importing it: that takes a second, and its own loader may want to download."""
    found = importlib.util.find_spec("skimage")
    folders = [Path(place) / "data" for place in (found.submodule_search_locations or [])] if found else []
    paths = [folder / name for folder in folders for name in PHOTOGRAPHS if (folder / name).is_file()]
    if not paths:
        raise NoPicturesError(
            "no pictures: name a folder with --images DIR or OVERTONE_DATA, or pip install scikit-image"
        )
    return paths
