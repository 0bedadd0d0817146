"""Batches of scenes: augmented for training, letter-boxed for evaluation."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from overtone.frequency import LetterBox, letter_boxed, open_rgb
from overtone.models.detection.region_network import Target
from overtone.training.compression import Compression, transmitted
from overtone.training.detection.augmentation import SceneAugmentation
from overtone.training.detection.pictures import Pictures, Things
from overtone.training.detection.scene import Scene


class SceneSet(Dataset[tuple[Tensor, Target]]):
    """Augmented scenes, coded and decoded by an ordinary codec if there is a `compression`.

    An index is (picture, size, seed), so that an item can be drawn again.
    """

    def __init__(
        self,
        pictures: Pictures,
        source: Callable[[int], Tensor],
        augmentation: SceneAugmentation,
        masks: bool = False,
        compression: Compression | None = None,
    ) -> None:
        self.pictures, self.source, self.augmentation, self.masks = pictures, source, augmentation, masks
        self.compression = compression

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: tuple[int, int, int]) -> tuple[Tensor, Target]:
        """(uint8[3, size, size], target)."""
        number, size, seed = index
        scene = scene_of(self.source(number), self.pictures.things[number], self.masks)
        rng = np.random.default_rng(seed)
        scene = self.augmentation(scene, size, rng)
        return self._sent(scene.rgb, rng), scene.target()

    def _sent(self, rgb: Tensor, rng: np.random.Generator) -> Tensor:
        """A square uint8[3, size, size] after the codec."""
        if self.compression is None:
            return rgb
        pixels = rgb.permute(1, 2, 0).contiguous().numpy()
        found = transmitted(pixels, self.compression.draw(rng), len(pixels))
        return torch.from_numpy(found.copy()).permute(2, 0, 1)


class SquareSet(Dataset[tuple[Tensor, Tensor]]):
    """Whole pictures as a device prepares them: uint8[3, size, size] and the picture's extent float32[2]."""

    def __init__(self, pictures: Pictures, size: int) -> None:
        self.pictures, self.size = pictures, size

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """(image, extent)."""
        image = open_rgb(self.pictures.paths[index])
        square = torch.from_numpy(letter_boxed(image, self.size)).permute(2, 0, 1)
        return square, torch.tensor(LetterBox(self.size, *image.size).extent)


def scene_of(rgb: Tensor, things: Things, masks: bool) -> Scene:
    """The scene of an image uint8[H, W, 3], which may be smaller than the picture that was annotated."""
    height, width, _ = rgb.shape
    found = torch.from_numpy(things.masks()) if masks else None
    scene = Scene(
        rgb.permute(2, 0, 1),
        torch.from_numpy(things.boxes).float() * torch.tensor([width, height] * 2),
        torch.from_numpy(things.labels),
        torch.from_numpy(things.crowd),
        None,
    )
    if found is None or found.shape[1:] == (height, width):
        return Scene(scene.rgb, scene.boxes, scene.labels, scene.crowd, found)
    resized = torch.nn.functional.interpolate(found[None], (height, width), mode="nearest-exact")[0]
    return Scene(scene.rgb, scene.boxes, scene.labels, scene.crowd, resized)


def collate(items: Sequence[tuple[Tensor, Target]]) -> tuple[Tensor, list[Target]]:
    """A batch: uint8[N, 3, size, size] and a target for each image."""
    images, targets = zip(*items, strict=True)
    return torch.stack(images), list(targets)
