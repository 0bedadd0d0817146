import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from overtone.frequency.pixels import ImageError
from overtone.training import cache
from overtone.training.cache import Decoded, Files, free_memory, source
from overtone.training.data import Pictures, part


def plenty() -> int:
    return 10**9


@pytest.fixture
def train(picture_folder: Path) -> Pictures:
    """24 pictures of 128 x 96 and one that lies on its side."""
    found = part(picture_folder, "train")
    with Image.open(found.paths[0]) as opened:
        exif = opened.getexif()
        exif[cache.ORIENTATION] = 6
        opened.copy().save(found.paths[1], exif=exif)
    return found


def test_decoded_pictures_are_those_of_the_files(train: Pictures) -> None:
    decoded, files = source(train, 48, plenty), Files(train)
    assert isinstance(decoded, Decoded)
    assert decoded(0).shape == (96, 128, 3)
    assert decoded(1).shape == (128, 96, 3)
    assert all(decoded(i).equal(files(i)) for i in range(len(train)))


def test_larger_pictures_are_shrunk_to_twice_the_size(train: Pictures) -> None:
    decoded = source(train, 32, plenty)
    assert decoded(0).shape == (64, 85, 3)
    assert decoded(1).shape == (85, 64, 3)
    with Image.open(train.paths[0]) as opened:
        small = np.asarray(opened.resize((85, 64), Image.Resampling.BOX)).astype(int)
    assert np.abs(decoded(0).numpy() - small).mean() < 4


def test_what_does_not_fit_stays_in_files(train: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = len(train) * 128 * 96 * 3 / cache.SHARE
    assert isinstance(source(train, 48, lambda: wanted - 1), Files)
    assert isinstance(source(train, 48, lambda: wanted), Decoded)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert isinstance(source(train, 48, lambda: wanted), Files)


def test_free_memory_is_less_than_there_is() -> None:
    assert 0 <= free_memory() < 2**50


def test_a_small_shared_memory_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if not free_memory():
        pytest.skip("this system does not say how much memory is free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=4))
    assert free_memory() == 4


class Marking(Dataset[tuple[int, Tensor]]):
    """Writes into the pictures it is given, to see who else sees it."""

    def __init__(self, pictures: Decoded) -> None:
        self.pictures = pictures

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> tuple[int, Tensor]:
        before = self.pictures(index).clone()
        self.pictures(index).fill_(index)
        return os.getpid(), before


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_share_the_block(train: Pictures, method: str) -> None:
    decoded = source(train.take(range(3)), 48, plenty)
    assert isinstance(decoded, Decoded)
    before = [decoded(i).clone() for i in range(3)]
    loader = DataLoader(Marking(decoded), batch_size=None, num_workers=1, multiprocessing_context=method)
    for i, (process, seen) in enumerate(loader):
        assert process != os.getpid()
        assert seen.equal(before[i])
    assert all((decoded(i) == i).all() for i in range(3))


def test_a_damaged_picture_is_named(train: Pictures) -> None:
    whole = train.paths[5].read_bytes()
    train.paths[5].write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match=f"{train.paths[5]}: cannot be decoded"):
        source(train, 48, plenty)
    train.paths[5].write_bytes(b"no picture")
    with pytest.raises(ImageError, match=f"{train.paths[5]}: not an image"):
        source(train, 48, plenty)


INTERRUPTED = """
import os, signal, sys, time
from pathlib import Path
from PIL import Image
from overtone.training import cache
from overtone.training.data import Pictures

begun = 0

def slow(path, width, height):
    global begun
    begun += 1
    if begun == 2:
        os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.2)
    return cache.np.zeros((height, width, 3), "uint8")

cache._resized = slow
pictures = Pictures((Path(sys.argv[1]),) * 10_000, (0,) * 10_000, ("a",))
try:
    cache.source(pictures, 8, lambda: 10**10)
except KeyboardInterrupt:
    print("interrupted after", begun)
"""


def test_an_interrupt_does_not_wait_for_the_rest(train: Pictures) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    command = [sys.executable, "-c", INTERRUPTED, str(train.paths[0])]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    assert "interrupted after" in done.stdout
    # Two threads a core at most had begun: all 10,000 would take a quarter of an hour.
    assert int(done.stdout.split()[-1]) < 1000


def test_photographs_on_white(tmp_path: Path, photograph: NDArray[np.uint8]) -> None:
    """Transparency is laid on white, grey becomes RGB, in memory as from files."""
    Image.fromarray(photograph).convert("L").save(tmp_path / "grey.png")
    Image.fromarray(photograph).convert("RGBA").save(tmp_path / "clear.png")
    pictures = Pictures((tmp_path / "grey.png", tmp_path / "clear.png"), (0, 0), ("a",))
    decoded, files = source(pictures, 48, plenty), Files(pictures)
    assert all(decoded(i).equal(files(i)) and decoded(i).dtype == torch.uint8 for i in range(2))
