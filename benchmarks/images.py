"""Images to measure with: from a folder, or the best source this machine has."""

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

from overtone.cache_folder import cache_folder
from overtone.edge_client.image_files import find

DATA_VARIABLE = "OVERTONE_DATA"
# A network that drops packets silently must not keep a demo waiting.
DOWNLOAD_TIMEOUT = 10.0
FOREIGN = (
    "these photographs come with scikit-image and lie outside the checkpoint's few classes: "
    "their answers mean nothing, their bytes do"
)
# The camera images in scikit-image's wheel; the others are drawings, text and textures, or downloaded.
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


class NoImagesError(ValueError):
    """No images were found; the message says where they were expected."""


@dataclass(frozen=True)
class ImageSet:
    """Image files, where they come from, and a remark about them."""

    paths: tuple[Path, ...]
    origin: str
    note: str = ""


def gather(folder: Path | None = None, count: int | None = None) -> ImageSet:
    """Images from `folder`, else `OVERTONE_DATA`, else Imagenette, else those inside scikit-image.

    If the folder has a val/, only that part is used. `count` images are drawn evenly from the sub-folders,
    the same ones every time.

    Raises:
        NoImagesError: the given folder holds none, or no source has any.
    """
    named = os.environ.get(DATA_VARIABLE)
    given = folder or (Path(named) if named else None)
    if given is not None:
        return ImageSet(_from_folder(given, count), str(given))
    with contextlib.suppress(OSError, ImportError):
        return ImageSet(_from_folder(_imagenette(), count), "Imagenette (fetched by torchvision)")
    return ImageSet(tuple(_inside_scikit_image()[:count]), "scikit-image", FOREIGN)


def draw(paths: Iterable[Path], count: int | None) -> tuple[Path, ...]:
    """`count` of the paths in random order, parent folders taking turns; all when None."""
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
        raise NoImagesError(
            f"{folder}: no such folder; give one that holds images, or a sub-folder per class"
        )
    part = folder / "val"
    paths = draw(find([part if part.is_dir() else folder]), count)
    if not paths:
        raise NoImagesError(f"{folder}: no images in it; give a folder that holds some")
    return paths


def _imagenette() -> Path:
    from overtone.training.data import fetch_imagenette

    folder = cache_folder()
    if not any(folder.glob("imagenette*/val")):
        print(f"fetching Imagenette (about 330 MB, once) into {folder} ...", file=sys.stderr)
    with _socket_timeout(), contextlib.redirect_stdout(sys.stderr):
        return fetch_imagenette(folder)


@contextlib.contextmanager
def _socket_timeout() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _inside_scikit_image() -> Sequence[Path]:
    """Found without importing it, which takes a second; its own loader may want to download."""
    found = importlib.util.find_spec("skimage")
    folders = [Path(place) / "data" for place in (found.submodule_search_locations or [])] if found else []
    paths = [folder / name for folder in folders for name in PHOTOGRAPHS if (folder / name).is_file()]
    if not paths:
        raise NoImagesError(
            "no images: name a folder with --images DIR or OVERTONE_DATA, or pip install scikit-image"
        )
    return paths
