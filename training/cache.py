"""Decoded pictures kept in shared memory: a picture is read and decoded once a run, not once an epoch."""

import os
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from overtone.frequency.pixels import open_rgb
from overtone.training.data import Pictures
from overtone.training.progress import tracked

# Of the memory that is free now, what decoded pictures may take.
SHARE = 0.25
# Where Linux keeps shared memory; a container's is often small.
SHARED_MEMORY = Path("/dev/shm")
ORIENTATION = 0x0112
# EXIF orientations of a picture that lies on its side.
LYING = frozenset({5, 6, 7, 8})

S = TypeVar("S")
T = TypeVar("T")


class Source(Protocol):
    """Where a training picture comes from, by its number."""

    def __call__(self, number: int) -> Tensor:
        """The RGB picture, uint8[H, W, 3]."""


class Files:
    """Pictures decoded from their files each time."""

    def __init__(self, pictures: Pictures) -> None:
        self.paths = pictures.paths

    def __call__(self, number: int) -> Tensor:
        """The RGB picture, uint8[H, W, 3]."""
        return torch.from_numpy(np.array(open_rgb(self.paths[number])))


class Decoded:
    """Pictures of these shapes int64[n, 2] (height, width) as one block of shared memory.

    Every worker sees the same block, however it was started.
    """

    def __init__(self, pictures: Pictures, shapes: NDArray[np.int64]) -> None:
        self.shapes = shapes
        self.starts = np.concatenate([[0], np.cumsum(_bytes(shapes))])
        self.block = torch.empty(int(self.starts[-1]), dtype=torch.uint8).share_memory_()

        def keep(number: int) -> None:
            height, width = self.shapes[number]
            self(number).numpy()[:] = _resized(pictures.paths[number], width, height)

        _in_threads(keep, range(len(pictures)), "decoding")

    def __call__(self, number: int) -> Tensor:
        """The RGB picture, uint8[H, W, 3], without a copy."""
        begin, end = self.starts[number], self.starts[number + 1]
        picture: Tensor = self.block[begin:end].view(*self.shapes[number].tolist(), 3)
        return picture


def source(pictures: Pictures, size: int, free: Callable[[], float] | None = None) -> Source:
    """Decoded pictures where they fit into memory, else their files; `size` is the largest training side.

    Raises:
        ImageError: one of them cannot be read.
    """
    if not len(pictures):
        return Files(pictures)
    found = _in_threads(lambda path: _shape(path, size), pictures.paths, "measuring pictures")
    shapes = np.array(found, dtype=np.int64)
    # torchrun says how many of us there are on this machine.
    room = SHARE * (free or free_memory)() / int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return Decoded(pictures, shapes) if _bytes(shapes).sum() <= room else Files(pictures)


def free_memory() -> float:
    """Bytes of shared memory that may be taken without swapping; 0 where the system does not say."""
    try:
        words = dict(line.split(":") for line in Path("/proc/meminfo").read_text("ascii").splitlines())
        free = int(words["MemAvailable"].split()[0]) * 1024
        return min(free, shutil.disk_usage(SHARED_MEMORY).free, _container_limit())
    except (OSError, KeyError):
        return 0


def _container_limit() -> float:
    """What a container (cgroup v2) may take in all."""
    path = Path("/sys/fs/cgroup/memory.max")
    text = path.read_text("ascii").strip() if path.is_file() else "max"
    return float("inf") if text == "max" else int(text)


def _shape(path: Path, size: int) -> tuple[int, int]:
    """(height, width) with the short side at most twice `size`: a crop of a quarter still fills `size`."""
    width, height = _upright_size(path)
    scale = min(1.0, 2 * size / min(width, height))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _upright_size(path: Path) -> tuple[int, int]:
    """(width, height) by the file's header alone."""
    try:
        with Image.open(path) as opened:
            lying = opened.getexif().get(ORIENTATION) in LYING
            return (opened.height, opened.width) if lying else opened.size
    except Exception:
        # What a header does not tell, decoding does, or it says what is wrong.
        return open_rgb(path).size


def _resized(path: Path, width: int, height: int) -> NDArray[np.uint8]:
    picture = open_rgb(path)
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return np.asarray(picture)


def _bytes(shapes: NDArray[np.int64]) -> NDArray[np.int64]:
    sizes: NDArray[np.int64] = shapes.prod(axis=1) * 3
    return sizes


def _in_threads(function: Callable[[S], T], items: Iterable[S], what: str) -> list[T]:
    """The results in order; Pillow decodes outside Python's lock. An interrupt does not wait for the rest."""
    items = list(items)
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        return list(tracked(pool.map(function, items), what, len(items)))
    finally:
        pool.shutdown(cancel_futures=True)
