"""Images degraded by an ordinary codec, to train an RGB network for a thin link.

Each training image is cropped and flipped, shrunk to a side at which it might be sent, encoded and decoded at
some quality, and resized to the network's input. All of this is drawn from the image's seed, like its crop.
"""

import io
from collections.abc import Mapping
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from overtone.frequency import fit
from overtone.training.data.augmentation import Augmentation

Codec = Literal["jpeg", "webp", "avif"]

# Fast settings. A slow encoder finds fewer bytes for nearly the same image, and here only the image matters. One
# thread each: images are small, and there is a worker process per core.
FAST: Mapping[Codec, Mapping[str, int]] = {
    "jpeg": {},
    "webp": {"method": 1},
    "avif": {"speed": 10, "max_threads": 1},
}


def transcoded(rgb: NDArray[np.uint8], codec: Codec, quality: int) -> NDArray[np.uint8]:
    """The image uint8[H, W, 3], encoded with a codec's fast setting and decoded."""
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, codec, quality=quality, **FAST[codec])
    with Image.open(file) as read:
        return np.asarray(read.convert("RGB"))


def resized(rgb: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The image at size x size pixels, by the antialiased Lanczos filter that serves every RGB network."""
    if rgb.shape[:2] == (size, size):
        return rgb
    return np.asarray(Image.fromarray(rgb).resize((size, size), Image.Resampling.LANCZOS))


def transmitted(rgb: NDArray[np.uint8], setting: "Setting", size: int) -> NDArray[np.uint8]:
    """A square image uint8[H, H, 3] as a server receives it: shrunk, coded and decoded, resized to size x size."""
    return resized(transcoded(resized(rgb, setting.side), setting.codec, setting.quality), size)


class Setting(BaseModel):
    """One way to send an image: a codec, the side in pixels it is shrunk to, and the codec's quality."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    codec: Codec = "webp"
    side: int = Field(default=112, gt=0)
    quality: int = Field(default=50, ge=0, le=100)


class Compression(BaseModel):
    """The settings that training images are sent with: codec, side and quality are drawn uniformly.

    `middle` is the setting at which the network is scored during training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Lowest and highest quality of each codec; their scales differ.
    qualities: dict[Codec, tuple[int, int]] = Field(min_length=1)
    sides: tuple[int, ...] = Field(min_length=1)
    middle: Setting = Setting()

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for codec, (low, high) in self.qualities.items():
            if not 0 <= low <= high <= 100:
                raise ValueError(f"qualities of {codec}: give two from 0 to 100, the lower first")
        if min(self.sides) < 8:
            raise ValueError("sides are in pixels, 8 or more")
        return self

    def draw(self, rng: np.random.Generator) -> Setting:
        """A random setting."""
        codec = sorted(self.qualities)[rng.integers(len(self.qualities))]
        low, high = self.qualities[codec]
        side = self.sides[rng.integers(len(self.sides))]
        return Setting(codec=codec, side=side, quality=int(rng.integers(low, high + 1)))

    def view(self, image: Image.Image, size: int) -> NDArray[np.uint8]:
        """An image as the network is scored on it: cropped, sent at `middle`, uint8[size, size, 3]."""
        sent = transcoded(fit(image, self.middle.side), self.middle.codec, self.middle.quality)
        return resized(sent, size)


class Compressed:
    """An augmentation followed by a codec."""

    def __init__(self, augment: Augmentation, compression: Compression) -> None:
        self.augment, self.compression = augment, compression

    def __call__(self, image: Tensor, size: int, rng: np.random.Generator) -> Tensor:
        """A random crop of an image uint8[H, W, 3], sent with a random setting, as uint8[3, size, size]."""
        setting = self.compression.draw(rng)
        crop = self.augment(image, setting.side, rng).permute(1, 2, 0).contiguous().numpy()
        return torch.from_numpy(transmitted(crop, setting, size).copy()).permute(2, 0, 1)
