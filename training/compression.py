"""Pictures as they come out of an ordinary codec: what an RGB network behind a thin link is trained on.

Each training picture is cut and flipped, shrunk to a side it might be sent at, written and read by a codec at
some quality, and brought to the network's side. All of it is drawn from the picture's seed, as its cut is.
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

from overtone.frequency.pixels import fit
from overtone.training.data import Augmentation

Codec = Literal["jpeg", "webp", "avif"]

# Fast settings. A slow encoder finds fewer bytes for nearly the same picture, and here only that matters. One
# thread each: pictures are small, and there is a worker a core.
FAST: Mapping[Codec, Mapping[str, int]] = {
    "jpeg": {},
    "webp": {"method": 1},
    "avif": {"speed": 10, "max_threads": 1},
}


def through(rgb: NDArray[np.uint8], codec: Codec, quality: int) -> NDArray[np.uint8]:
    """The picture uint8[H, W, 3] written by a codec's fast setting and read again."""
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, codec, quality=quality, **FAST[codec])
    with Image.open(file) as read:
        return np.asarray(read.convert("RGB"))


def resized(rgb: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Brought to size x size as every picture is that reaches the network: Lanczos, antialiased."""
    if rgb.shape[:2] == (size, size):
        return rgb
    return np.asarray(Image.fromarray(rgb).resize((size, size), Image.Resampling.LANCZOS))


class Setting(BaseModel):
    """One way to send a picture: a codec, the side in pixels it is shrunk to, and the codec's quality."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    codec: Codec = "webp"
    side: int = Field(default=112, gt=0)
    quality: int = Field(default=50, ge=0, le=100)


class Compression(BaseModel):
    """What training pictures are sent as: a codec and a side (both evenly often), a quality of its range.

    `middle` is the setting that the network is scored at while it learns.
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
        """A setting; the recipe's sides are spread evenly in their logarithm, and so are those drawn."""
        codec = sorted(self.qualities)[rng.integers(len(self.qualities))]
        low, high = self.qualities[codec]
        side = self.sides[rng.integers(len(self.sides))]
        return Setting(codec=codec, side=side, quality=int(rng.integers(low, high + 1)))

    def view(self, picture: Image.Image, size: int) -> NDArray[np.uint8]:
        """A picture as the network is scored on it: fitted, sent at `middle`, uint8[size, size, 3]."""
        sent = through(fit(picture, self.middle.side), self.middle.codec, self.middle.quality)
        return resized(sent, size)


class Compressed:
    """An augmentation whose pictures also go through a codec."""

    def __init__(self, augment: Augmentation, compression: Compression) -> None:
        self.augment, self.compression = augment, compression

    def __call__(self, picture: Tensor, size: int, rng: np.random.Generator) -> Tensor:
        """A random part of a picture uint8[H, W, 3], through a random setting, as uint8[3, size, size]."""
        setting = self.compression.draw(rng)
        cut = self.augment(picture, setting.side, rng).permute(1, 2, 0).contiguous().numpy()
        seen = resized(through(cut, setting.codec, setting.quality), size)
        return torch.from_numpy(seen.copy()).permute(2, 0, 1)
