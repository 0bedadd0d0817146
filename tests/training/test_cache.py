"""Decoded images in shared memory are those of the files."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from overtone.frequency import ImageError
from overtone.training.data import Images, read_split
from overtone.training.data.cache import (
    ORIENTATION,
    SHARE,
    FileSource,
    MemorySource,
    free_memory,
    open_source,
)


def plenty() -> int:
    return 10**9


@pytest.fixture
def train(images: Path, tmp_path: Path) -> Images:
    """24 images of 128 x 96, one of them rotated by its EXIF orientation."""
    shutil.copytree(images, tmp_path, dirs_exist_ok=True)
    found = read_split(tmp_path, "train")
    with Image.open(found.paths[0]) as opened:
        exif = opened.getexif()
        exif[ORIENTATION] = 6
        opened.copy().save(found.paths[1], exif=exif)
    return found


def test_decoded_images_are_those_of_the_files(train: Images, photograph: NDArray[np.uint8]) -> None:
    Image.fromarray(photograph).convert("RGBA").save(train.paths[2], "PNG")
    decoded, files = open_source(train, 48, plenty), FileSource(train)
    assert isinstance(decoded, MemorySource)
    assert decoded(0).shape == (96, 128, 3)
    assert decoded(1).shape == (128, 96, 3)
    assert all(decoded(i).equal(files(i)) and decoded(i).dtype == torch.uint8 for i in range(len(train)))


def test_larger_images_are_shrunk_to_twice_the_size(train: Images) -> None:
    decoded = open_source(train, 32, plenty)
    assert decoded(0).shape == (64, 85, 3)
    assert decoded(1).shape == (85, 64, 3)
    with Image.open(train.paths[0]) as opened:
        small = np.asarray(opened.resize((85, 64), Image.Resampling.BOX)).astype(int)
    assert np.abs(decoded(0).numpy() - small).mean() < 4


def test_what_does_not_fit_stays_in_files(train: Images) -> None:
    needed = len(train) * 128 * 96 * 3 / SHARE
    assert isinstance(open_source(train, 48, lambda: needed - 1), FileSource)
    assert isinstance(open_source(train, 48, lambda: needed), MemorySource)


def test_a_small_shared_memory_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 <= free_memory() < 2**50
    if not free_memory():
        pytest.skip("this system does not say how much memory is free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=4))
    assert free_memory() == 4


class Marking(Dataset[tuple[int, Tensor]]):
    """Overwrites the images it is given, so that others can see it."""

    def __init__(self, source: MemorySource) -> None:
        self.source = source

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> tuple[int, Tensor]:
        before = self.source(index).clone()
        self.source(index).fill_(index)
        return os.getpid(), before


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_share_the_block(train: Images, method: str) -> None:
    decoded = open_source(train.take(range(3)), 48, plenty)
    assert isinstance(decoded, MemorySource)
    before = [decoded(i).clone() for i in range(3)]
    loader = DataLoader(Marking(decoded), batch_size=None, num_workers=1, multiprocessing_context=method)
    for i, (process, seen) in enumerate(loader):
        assert process != os.getpid()
        assert seen.equal(before[i])
    assert all((decoded(i) == i).all() for i in range(3))


@pytest.mark.parametrize("size", [2000, 0])
def test_a_damaged_image_is_named(size: int, train: Images) -> None:
    train.paths[5].write_bytes(train.paths[5].read_bytes()[:size])
    with pytest.raises(ImageError, match=f"^{train.paths[5]}: "):
        open_source(train, 48, plenty)
