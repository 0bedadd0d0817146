"""Images in folders, their splits, and how they are augmented and batched."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from overtone.training.data import (
    Augmentation,
    DataError,
    EpochSampler,
    Images,
    TestSet,
    TrainSet,
    read_folder,
    read_split,
    split,
)
from overtone.training.data.cache import FileSource


def many(per_class: int = 20) -> Images:
    paths = tuple(Path(f"{c}/{i}.jpg") for c in "ab" for i in range(per_class))
    return Images(paths, tuple(int(p.parts[0] == "b") for p in paths), ("a", "b"))


def test_splits_of_a_folder(images: Path) -> None:
    train = read_split(images, "train")
    assert (train.classes, len(train), sum(train.targets)) == (("cold", "warm"), 24, 12)
    assert read_split(images, "calibration") == split(train)[1]
    alone = read_split(images / "val", "val")
    assert alone == read_split(images, "val"), "a folder without splits is itself the split"
    with pytest.raises(DataError, match="no split 'test'"):
        read_split(images, "test")


def test_folders_named_as_labels(images: Path) -> None:
    found = read_folder(images / "val", classes=("n2", "n1"), labels=("warm", "cold"))
    assert found.targets == (1, 1, 1, 0, 0, 0)


def test_folder_errors(images: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        read_folder(tmp_path / "none")
    with pytest.raises(DataError, match="'warm'"):
        read_folder(images / "val", classes=("cold", "hot"))
    (tmp_path / "empty" / "cold").mkdir(parents=True)
    with pytest.raises(DataError, match="cold: no images"):
        read_folder(tmp_path / "empty")
    shutil.copytree(images / "val", tmp_path / "val")
    (tmp_path / "val" / "tepid").mkdir()
    with pytest.raises(DataError, match="tepid: no images"):
        read_folder(tmp_path / "val")


def test_odd_names_and_hidden_files(tmp_path: Path, photograph: NDArray[np.uint8]) -> None:
    nested = tmp_path / "cold" / "more" / "still more"
    nested.mkdir(parents=True)
    (tmp_path / ".checkpoints").mkdir()
    for name in ("A.JPG", "b.JPEG", "c.Png"):
        Image.fromarray(photograph).save(nested / name)
    (nested / "._A.JPG").write_bytes(b"hidden")
    (nested / "notes.txt").write_text("no image")
    (tmp_path / "cold" / "folder.jpg").mkdir()
    found = read_folder(tmp_path)
    assert found.classes == ("cold",)
    assert [path.name for path in found.paths] == ["A.JPG", "b.JPEG", "c.Png"]


def test_calibration_is_stratified_disjoint_and_repeatable() -> None:
    train, held = split(many(), 0.1)
    assert (len(held), sum(held.targets)) == (4, 2)
    assert set(train.paths) | set(held.paths) == set(many().paths)
    assert not set(train.paths) & set(held.paths)
    assert split(many(), 0.1)[1] == held


def test_spread_is_even() -> None:
    assert many().spread(7).targets == (0, 0, 0, 0, 1, 1, 1)[:7]
    assert many().spread(100) == many()
    assert len(Images((), (), ("a",)).spread(3)) == 0


def test_crops_stay_inside_and_cover_the_scale() -> None:
    rng = np.random.default_rng(0)
    augmentation = Augmentation(scale=(0.25, 1.0))
    areas = []
    for _ in range(500):
        left, top, right, bottom = augmentation.crop(120, 90, rng)
        assert 0 <= left < right <= 120
        assert 0 <= top < bottom <= 90
        areas.append((right - left) * (bottom - top) / (120 * 90))
    assert 0.2 < min(areas) < 0.35
    assert 0.8 < max(areas) <= 1.0
    # A crop that never fits falls back to the centre.
    assert Augmentation(scale=(1.0, 1.0)).crop(1000, 10, rng) == (495, 0, 505, 10)


def test_flip_mirrors() -> None:
    half = torch.zeros(8, 8, 3, dtype=torch.uint8)
    half[:, :4] = 255
    augmentation = Augmentation(scale=(1.0, 1.0), ratio=(1.0, 1.0))
    sides = {int(augmentation(half, 8, np.random.default_rng(s))[0, 0, 0] > 0) for s in range(16)}
    assert sides == {0, 1}


@pytest.mark.parametrize("size", [24, 80])
def test_a_crop_is_resized_as_pillow_does(size: int, photograph: NDArray[np.uint8]) -> None:
    augmentation = Augmentation(scale=(0.3, 0.6), flip=False)
    box = augmentation.crop(128, 96, np.random.default_rng(2))
    resized = augmentation(torch.from_numpy(photograph), size, np.random.default_rng(2))
    expected = Image.fromarray(photograph).crop(box).resize((size, size), Image.Resampling.BICUBIC)
    difference = resized.permute(1, 2, 0).numpy().astype(int) - np.asarray(expected)
    assert np.abs(difference).mean() < 1


def test_epochs_differ_and_repeat() -> None:
    def epoch(number: int) -> list[list[tuple[int, int, int]]]:
        sampler = EpochSampler(10, 4, seed=1)
        sampler.set(number, 64)
        return list(sampler)

    assert epoch(0) == epoch(0) != epoch(1)
    assert [len(b) for b in epoch(0)] == [4, 4]
    assert len({i for batch in epoch(0) for i, _, _ in batch}) == 8


def test_items_are_drawn_from_their_seed(images: Path) -> None:
    train = read_split(images, "train")
    items = TrainSet(train.targets, FileSource(train), Augmentation())
    item, target = items[(13, 64, 5)]
    assert (item.shape, item.dtype, target) == ((3, 64, 64), torch.uint8, 1)
    assert item.equal(items[(13, 64, 5)][0])
    assert not item.equal(items[(13, 64, 6)][0])
    assert TestSet(train, 64)[0][0].shape == (3, 64, 64)
