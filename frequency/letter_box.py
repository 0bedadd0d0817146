"""Letter-boxing: a whole picture in a square, for detectors.

The longest side becomes the side of the square, the other one follows, and the picture lies in the upper left corner,
so that its blocks begin where the square's do. The rest is neutral grey, whose coefficients are all zero.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Of R, G and B: luma is level-shifted by 128, and grey has no chroma.
NEUTRAL = 128

Boxes = NDArray[np.float64]


@dataclass(frozen=True)
class LetterBox:
    """The position of a picture of `width` x `height` pixels in a square of `size` x `size`.

    Boxes are float64[..., 4] of left, top, right, bottom, as fractions: of the picture, or of the square.
    """

    size: int
    width: int
    height: int

    def __post_init__(self) -> None:
        if min(self.size, self.width, self.height) < 1:
            raise ValueError(f"no letter box of {self.width}x{self.height} pixels in {self.size}")

    @property
    def content(self) -> tuple[int, int]:
        """(width, height) in pixels of the picture in the square: rounded half up, at least 1."""
        longest = max(self.width, self.height)
        width, height = (
            max(1, (2 * side * self.size + longest) // (2 * longest)) for side in (self.width, self.height)
        )
        return width, height

    @property
    def extent(self) -> tuple[float, float]:
        """(width, height) of the picture as fractions of the square."""
        width, height = self.content
        return width / self.size, height / self.size

    def to_square(self, boxes: Boxes) -> Boxes:
        """Boxes as fractions of the square, from fractions of the picture."""
        found: Boxes = np.asarray(boxes, np.float64) * (self.extent * 2)
        return found

    def to_picture(self, boxes: Boxes) -> Boxes:
        """Boxes as fractions of the picture, clipped to it, from fractions of the square."""
        found: Boxes = np.clip(np.asarray(boxes, np.float64) / (self.extent * 2), 0, 1)
        return found


def letter_boxed(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """A whole RGB image in a square uint8[size, size, 3], at the position that `LetterBox` computes."""
    square = np.full((size, size, 3), NEUTRAL, np.uint8)
    width, height = LetterBox(size, *image.size).content
    square[:height, :width] = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
    return square
