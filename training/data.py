"""Pictures from a folder per class, split into train and calibration, decoded and augmented.

The calibration part is held out of `train/`: temperatures, thresholds and tables are chosen on it, so that
`val/` is left for reporting.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as validated
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, Sampler

from overtone.frequency.pixels import fit, open_rgb

# Takes a picture and a side to uint8[side, side, 3].
View = Callable[[Image.Image, int], NDArray[np.uint8]]
# Takes a picture uint8[H, W, 3], a side and what is random to uint8[3, side, side].
Augment = Callable[[Tensor, int, np.random.Generator], Tensor]

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
CALIBRATION_SHARE = 0.1


class DataError(ValueError):
    """A folder that cannot be trained on or evaluated; the message says what was expected."""


@dataclass(frozen=True)
class Pictures:
    """Paths and class indices, with the class folders' names in order."""

    paths: tuple[Path, ...]
    targets: tuple[int, ...]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, indices: Sequence[int]) -> "Pictures":
        """The pictures at these indices."""
        return Pictures(
            tuple(self.paths[i] for i in indices), tuple(self.targets[i] for i in indices), self.classes
        )


def read_folder(
    folder: Path, classes: Sequence[str] | None = None, labels: Sequence[str] | None = None
) -> Pictures:
    """All pictures below `folder`, one sub-folder a class, in a fixed order.

    A sub-folder is named as in `classes`, or as in `labels`, which run in the same order.

    Raises:
        DataError: no such folder, no pictures, or a class that neither has.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give one with a sub-folder of pictures per class")
    found = sorted(d.name for d in folder.iterdir() if d.is_dir() and not d.name.startswith("."))
    names = tuple(classes) if classes is not None else tuple(found)
    index = {name: i for names_ in (labels or (), names) for i, name in enumerate(names_)}
    unknown = set(found) - set(index)
    if unknown:
        raise DataError(f"{folder}: classes {sorted(unknown)} are not among {list(names)}")
    paths, targets = [], []
    for name in found:
        files = sorted(p for p in (folder / name).rglob("*") if _is_picture(p))
        if not files and classes is None:
            raise DataError(
                f"{folder / name}: no pictures ({', '.join(sorted(SUFFIXES))}); fill the folder or remove it"
            )
        paths += files
        targets += [index[name]] * len(files)
    if not paths:
        raise DataError(f"{folder}: no pictures; give a folder with a sub-folder of pictures per class")
    return Pictures(tuple(paths), tuple(targets), names)


def _is_picture(path: Path) -> bool:
    # Some systems leave hidden files that have a picture's name.
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def part(
    data: Path, name: str, classes: Sequence[str] | None = None, labels: Sequence[str] | None = None
) -> Pictures:
    """The part `train` or `val` of a data folder, or the folder itself when it has no such parts."""
    inner = data / name
    return read_folder(inner if inner.is_dir() else data, classes, labels)


def split(pictures: Pictures, share: float = CALIBRATION_SHARE, seed: int = 0) -> tuple[Pictures, Pictures]:
    """(train, calibration): the same share of every class, drawn once from the seed."""
    rng = np.random.default_rng(seed)
    targets = np.array(pictures.targets)
    held: set[int] = set()
    for target in range(len(pictures.classes)):
        of_class = np.flatnonzero(targets == target)
        held.update(rng.permutation(of_class)[: round(share * len(of_class))].tolist())
    train = [i for i in range(len(pictures)) if i not in held]
    return pictures.take(train), pictures.take(sorted(held))


@validated(frozen=True, config=ConfigDict(extra="forbid"))
class Augmentation:
    """Random resized crop and flip (scale is a share of the area, ratio width over height)."""

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: bool = True

    def __call__(self, picture: Tensor, size: int, rng: np.random.Generator) -> Tensor:
        """A random part of a picture uint8[H, W, 3] as uint8[3, size, size].

        Resized by torch, whose code for bytes is faster than Pillow's; only pixels of the part itself count.
        """
        left, top, right, bottom = self.crop(picture.shape[1], picture.shape[0], rng)
        chosen = picture[top:bottom, left:right].permute(2, 0, 1)[None]
        resized = functional.interpolate(chosen, (size, size), mode="bicubic", antialias=True)[0]
        return resized.flip(-1) if self.flip and rng.random() < 0.5 else resized

    def crop(self, width: int, height: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
        """A box (left, top, right, bottom), as torchvision's RandomResizedCrop draws it."""
        low, high = np.log(self.ratio)
        for _ in range(10):
            area = width * height * rng.uniform(*self.scale)
            ratio = np.exp(rng.uniform(low, high))
            w, h = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
                return left, top, left + w, top + h
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        return left, top, left + side, top + side


class TrainSet(Dataset[tuple[Tensor, int]]):
    """Augmented pictures; an index is (picture, size, seed), so that any order can be drawn again."""

    def __init__(
        self, targets: Sequence[int], source: Callable[[int], Tensor], augmentation: Augment
    ) -> None:
        self.targets, self.source, self.augmentation = targets, source, augmentation

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: tuple[int, int, int]) -> tuple[Tensor, int]:
        """(uint8[3, size, size], target)."""
        number, size, seed = index
        rgb = self.augmentation(self.source(number), size, np.random.default_rng(seed))
        return rgb, self.targets[number]


class TestSet(Dataset[tuple[Tensor, int]]):
    """Pictures as a device sees them: short side to size * 8/7, centre crop; or by another `view`."""

    __test__ = False

    def __init__(self, pictures: Pictures, size: int, view: View = fit) -> None:
        self.pictures, self.size, self.view = pictures, size, view

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """(uint8[3, size, size], target)."""
        rgb = self.view(open_rgb(self.pictures.paths[index]), self.size)
        return torch.from_numpy(rgb.copy()).permute(2, 0, 1), self.pictures.targets[index]


class EpochSampler(Sampler[list[tuple[int, int, int]]]):
    """Batches of one epoch, wholly decided by (seed, epoch): a resumed run sees what it would have seen."""

    def __init__(self, count: int, batch: int, seed: int) -> None:
        self.count, self.batch, self.seed = count, min(batch, count), seed
        self.epoch, self.size = 0, 0

    def set(self, epoch: int, size: int) -> None:
        """Choose the epoch and the side in pixels of its pictures."""
        self.epoch, self.size = epoch, size

    def __len__(self) -> int:
        return self.count // self.batch

    def __iter__(self) -> Iterator[list[tuple[int, int, int]]]:
        rng = np.random.default_rng((self.seed, self.epoch))
        order = rng.permutation(self.count)
        seeds = rng.integers(2**62, size=self.count)
        for start in range(0, len(self) * self.batch, self.batch):
            chosen = order[start : start + self.batch]
            yield [(int(i), self.size, int(seeds[i])) for i in chosen]


def ordered_loader(
    pictures: Pictures, size: int, batch: int = 64, workers: int = 0, view: View = fit
) -> DataLoader[tuple[Tensor, int]]:
    """Batches (uint8[N, 3, size, size], int64[N]) in the order of the pictures."""
    return DataLoader(TestSet(pictures, size, view), batch, num_workers=workers)
