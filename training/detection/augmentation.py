"""Random crops, scales, places, flips and colours of scenes."""

from typing import Annotated

import numpy as np
from pydantic import Field

from overtone.training.data.augmentation import recoloured
from overtone.training.detection.scene import Scene
from overtone.training.section import Section

TRIES = 10


class SceneAugmentation(Section):
    """How scenes are cropped, scaled, flipped and recoloured at random.

    Attributes:
        crop: fraction of the scenes that are cropped, so that the centre of an object stays inside.
        least: smallest fraction of each side that a crop keeps.
        scale: range of the longest side after resizing, as a fraction of the square's side.
        flip: fraction of the scenes that are flipped.
        colour: as in `training.data.Augmentation`.
    """

    crop: float = Field(default=0.5, ge=0, le=1)
    least: float = Field(default=0.5, gt=0, le=1)
    scale: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(le=1)]] = (0.6, 1.0)
    flip: float = Field(default=0.5, ge=0, le=1)
    colour: float = Field(default=0.2, ge=0, lt=1)

    def __call__(self, scene: Scene, size: int, rng: np.random.Generator) -> Scene:
        """A random view of a scene in a square of this side."""
        if rng.random() < self.crop:
            scene = self._cropped(scene, rng)
        scene = scene.letter_boxed(size, rng.uniform(*self.scale))
        width, height = scene.size
        left, top = (int(rng.integers(size - side + 1)) for side in (width, height))
        if rng.random() < self.flip:
            scene = scene.flipped()
        if self.colour:
            changed = recoloured(scene.rgb, *(1 + self.colour * rng.uniform(-1, 1, 3)))
            scene = Scene(changed, scene.boxes, scene.labels, scene.crowd, scene.masks)
        return scene.placed(size, left, top)

    def _cropped(self, scene: Scene, rng: np.random.Generator) -> Scene:
        width, height = scene.size
        boxes = scene.boxes[~scene.crowd]
        x, y = ((boxes[:, i] + boxes[:, i + 2]) / 2 for i in (0, 1))
        for _ in range(TRIES):
            w, h = (max(1, round(side * rng.uniform(self.least, 1))) for side in (width, height))
            left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
            right, bottom = left + w, top + h
            if not len(boxes) or ((x >= left) & (x < right) & (y >= top) & (y < bottom)).any():
                return scene.cropped(left, top, right, bottom)
        return scene
