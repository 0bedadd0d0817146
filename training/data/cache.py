"""Decoded images in shared memory, so that each is read and decoded once per run instead of once per epoch."""

import os
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from overtone.frequency import open_rgb
from overtone.training.data.images import Images
from overtone.training.progress import tracked

# The share of the free memory that decoded images may take.
SHARE = 0.25
# Where Linux keeps shared memory; in a container it is often small.
SHARED_MEMORY = Path("/dev/shm")
ORIENTATION = 0x0112
# EXIF orientations with width and height exchanged.
ROTATED = frozenset({5, 6, 7, 8})

S = TypeVar("S")
T = TypeVar("T")


class FileSource:
    """Images by number, decoded from their files each time."""

    def __init__(self, images: Images) -> None:
        self.paths = images.paths

    def __call__(self, number: int) -> Tensor:
        """The RGB image, uint8[H, W, 3]."""
        return torch.from_numpy(np.array(open_rgb(self.paths[number])))


class MemorySource:
    """Images by number, of these shapes int64[n, 2] (height, width), in one block of shared memory.

    All worker processes see the same block, however they were started.
    """

    def __init__(self, images: Images, shapes: NDArray[np.int64]) -> None:
        self.shapes = shapes
        self.starts = np.concatenate([[0], np.cumsum(_bytes(shapes))])
        self.block = torch.empty(int(self.starts[-1]), dtype=torch.uint8).share_memory_()

        def decode(number: int) -> None:
            height, width = self.shapes[number]
            self(number).numpy()[:] = _resized(images.paths[number], width, height)

        _in_threads(decode, range(len(images)), "decoding")

    def __call__(self, number: int) -> Tensor:
        """The RGB image, uint8[H, W, 3], without a copy."""
        begin, end = self.starts[number], self.starts[number + 1]
        image: Tensor = self.block[begin:end].view(*self.shapes[number].tolist(), 3)
        return image


def open_source(
    images: Images, size: int, free: Callable[[], float] | None = None
) -> FileSource | MemorySource:
    """Images in memory if they fit, otherwise from their files; `size` is the largest training side.

    Raises:
        ImageError: an image cannot be read.
    """
    if not len(images):
        return FileSource(images)
    found = _in_threads(lambda path: _shape(path, size), images.paths, "measuring images")
    shapes = np.array(found, dtype=np.int64)
    room = SHARE * (free or free_memory)()
    return MemorySource(images, shapes) if _bytes(shapes).sum() <= room else FileSource(images)


def free_memory() -> float:
    """Bytes of shared memory that can be used without swapping; 0 if the system does not say."""
    try:
        words = dict(line.split(":") for line in Path("/proc/meminfo").read_text("ascii").splitlines())
        free = int(words["MemAvailable"].split()[0]) * 1024
        return min(free, shutil.disk_usage(SHARED_MEMORY).free, _container_limit())
    except (OSError, KeyError):
        return 0


def _container_limit() -> float:
    """The memory limit of the container (cgroup v2)."""
    path = Path("/sys/fs/cgroup/memory.max")
    text = path.read_text("ascii").strip() if path.is_file() else "max"
    return float("inf") if text == "max" else int(text)


def _shape(path: Path, size: int) -> tuple[int, int]:
    """(height, width) with the short side at most twice `size`: a crop of a quarter still has `size` pixels."""
    width, height = _upright_size(path)
    scale = min(1.0, 2 * size / min(width, height))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _upright_size(path: Path) -> tuple[int, int]:
    """(width, height), from the file's header alone if possible."""
    try:
        with Image.open(path) as opened:
            rotated = opened.getexif().get(ORIENTATION) in ROTATED
            return (opened.height, opened.width) if rotated else opened.size
    except Exception:
        # Decoding either succeeds or says what is wrong with the file.
        return open_rgb(path).size


def _resized(path: Path, width: int, height: int) -> NDArray[np.uint8]:
    image = open_rgb(path)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return np.asarray(image)


def _bytes(shapes: NDArray[np.int64]) -> NDArray[np.int64]:
    sizes: NDArray[np.int64] = shapes.prod(axis=1) * 3
    return sizes


def _in_threads(function: Callable[[S], T], items: Iterable[S], what: str) -> list[T]:
    """The results in order, computed in threads, as Pillow decodes without the GIL; an interrupt cancels the rest."""
    items = list(items)
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        return list(tracked(pool.map(function, items), what, len(items)))
    finally:
        pool.shutdown(cancel_futures=True)
