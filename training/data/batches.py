"""Batches of images: in an order drawn from a seed for training, in the given order for evaluation."""

from collections.abc import Callable, Iterator, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from overtone.frequency import fit, open_rgb
from overtone.training.data.augmentation import Augment, View
from overtone.training.data.images import Images

# Images uint8[N, 3, size, size] with their targets int64[N].
Batches = DataLoader[tuple[Tensor, Tensor]]


class TrainSet(Dataset[tuple[Tensor, int]]):
    """Augmented images. An index is (image, size, seed), so that an item can be drawn again."""

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
    """Images prepared as on a device: short side to size * 8/7, then a centre crop; or by another `view`."""

    __test__ = False

    def __init__(self, images: Images, size: int, view: View = fit) -> None:
        self.images, self.size, self.view = images, size, view

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """(uint8[3, size, size], target)."""
        rgb = self.view(open_rgb(self.images.paths[index]), self.size)
        return torch.from_numpy(rgb.copy()).permute(2, 0, 1), self.images.targets[index]


class EpochSampler(Sampler[list[tuple[int, int, int]]]):
    """The batches of one epoch, determined by (seed, epoch), so that a resumed run sees the same ones."""

    def __init__(self, count: int, batch: int, seed: int) -> None:
        self.count, self.batch, self.seed = count, min(batch, count), seed
        self.epoch, self.size = 0, 0

    def set(self, epoch: int, size: int) -> None:
        """Choose the epoch and the side of its images in pixels."""
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


def ordered_loader(images: Images, size: int, batch: int = 64, workers: int = 0, view: View = fit) -> Batches:
    """Batches in the order of the images."""
    return cast(Batches, DataLoader(TestSet(images, size, view), batch, num_workers=workers))
