"""Random crops, flips and colours of training images."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.nn import functional

GREY = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
# From an image and a side to uint8[side, side, 3].
View = Callable[[Image.Image, int], NDArray[np.uint8]]
# From an image uint8[H, W, 3], a side and a random generator to uint8[3, side, side].
Augment = Callable[[Tensor, int, np.random.Generator], Tensor]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Augmentation:
    """Random resized crop and flip; scale is a share of the area, ratio is width over height.

    Brightness, contrast and saturation change by up to the share `colour`.
    """

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: bool = True
    colour: float = 0.0

    def __call__(self, image: Tensor, size: int, rng: np.random.Generator) -> Tensor:
        """A random crop of an image uint8[H, W, 3], as uint8[3, size, size].

        torch resizes bytes faster than Pillow does. Pixels outside the crop have no influence.
        """
        left, top, right, bottom = self.crop(image.shape[1], image.shape[0], rng)
        chosen = image[top:bottom, left:right].permute(2, 0, 1)[None]
        resized = functional.interpolate(chosen, (size, size), mode="bicubic", antialias=True)[0]
        if self.flip and rng.random() < 0.5:
            resized = resized.flip(-1)
        return recoloured(resized, *(1 + self.colour * rng.uniform(-1, 1, 3))) if self.colour else resized

    def crop(self, width: int, height: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
        """A box (left, top, right, bottom), drawn as torchvision's RandomResizedCrop does."""
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


def recoloured(rgb: Tensor, brightness: float, contrast: float, saturation: float) -> Tensor:
    """An image uint8[3, H, W] with its mean, its spread and its colours scaled by these factors."""
    x = rgb.float()
    mean = x.mean()
    x = (x - mean) * contrast + mean * brightness
    grey = (x * GREY).sum(0, keepdim=True)
    changed: Tensor = (grey + (x - grey) * saturation).round().clamp(0, 255).to(torch.uint8)
    return changed


def blended(rgb: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Images uint8[N, 3, H, W], about this share of them blended with another one of the batch.

    The other image has a weight of up to a half. A teacher that answers to the same blends shows a student more of
    what it knows than the images alone do ("function matching", Beyer et al., CVPR 2022, section 3).
    """
    drawn, weight = torch.rand(2, len(rgb), 1, 1, 1, generator=generator)
    weight = torch.where(drawn < share, weight / 2, 0)
    return torch.lerp(rgb.float(), rgb.roll(1, 0).float(), weight).round().to(torch.uint8)
