"""Decoded pictures kept in shared memory: a picture is read and decoded once a run, not once an epoch."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image

from frequency.picture import open_rgb
from training.data import Pictures
from training.progress import tracked

# Of the memory that is free now, what decoded pictures may take.
SHARE = 0.25


class Source(Protocol):
    """Where a training picture comes from, by its number."""

    def __call__(self, number: int) -> Image.Image:
        """The RGB picture."""


class Files:
    """Pictures decoded from their files each time."""

    def __init__(self, pictures: Pictures) -> None:
        self.paths = pictures.paths

    def __call__(self, number: int) -> Image.Image:
        """The RGB picture."""
        return open_rgb(self.paths[number])


class Decoded:
    """Pictures as one block of shared memory, uint8[sum of height * width * 3], that all workers see."""

    def __init__(self, pictures: Pictures, size: int) -> None:
        self.shapes = [(0, 0)] * len(pictures)
        starts = np.zeros(len(pictures) + 1, dtype=np.int64)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = pool.map(lambda path: np.asarray(_shrunk(path, size)), pictures.paths)
            decoded = list(tracked(found, "decoding", len(pictures)))
        starts[1:] = np.cumsum([d.size for d in decoded])
        self.starts = starts
        self.block = torch.empty(int(starts[-1]), dtype=torch.uint8).share_memory_()
        block = self.block.numpy()
        for i, picture in enumerate(decoded):
            self.shapes[i] = picture.shape[:2]
            block[starts[i] : starts[i + 1]] = picture.reshape(-1)

    def __call__(self, number: int) -> Image.Image:
        """The RGB picture, without a copy."""
        begin, end = self.starts[number], self.starts[number + 1]
        return Image.fromarray(self.block.numpy()[begin:end].reshape(*self.shapes[number], 3))


def source(pictures: Pictures, size: int, free: Callable[[], int] | None = None) -> Source:
    """Decoded pictures where they fit into memory, else their files; `size` is the largest training side."""
    if not len(pictures):
        return Files(pictures)
    sample = [pictures.paths[i] for i in range(0, len(pictures), max(1, len(pictures) // 32))]
    mean = np.mean([np.asarray(_shrunk(path, size)).nbytes for path in sample])
    fits = mean * len(pictures) <= SHARE * (free or free_memory)()
    return Decoded(pictures, size) if fits else Files(pictures)


def free_memory() -> int:
    """Bytes that may be taken without swapping; 0 where the system does not say."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 0


def _shrunk(path: Path, size: int) -> Image.Image:
    """The picture with its short side at most twice `size`: a crop of a quarter of it still fills `size`."""
    picture = open_rgb(path)
    scale = 2 * size / min(picture.size)
    if scale >= 1:
        return picture
    width, height = (max(1, round(side * scale)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)
