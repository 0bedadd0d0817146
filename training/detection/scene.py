"""A picture with its annotated objects, and the transformations of both for augmentation."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from overtone.frequency import LetterBox
from overtone.frequency.letter_box import NEUTRAL
from overtone.models.detection.region_network import Target

# An object is kept if a crop leaves at least this share of its box; the rest of others becomes a crowd.
VISIBLE = 0.4


@dataclass(frozen=True)
class Scene:
    """An image uint8[3, H, W]; boxes float32[n, 4] in pixels; masks uint8[n, H, W] if there are any."""

    rgb: Tensor
    boxes: Tensor
    labels: Tensor
    crowd: Tensor
    masks: Tensor | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.rgb.shape[2], self.rgb.shape[1]

    def flipped(self) -> "Scene":
        """Left and right exchanged."""
        left, top, right, bottom = self.boxes.unbind(1)
        width = self.size[0]
        boxes = torch.stack([width - right, top, width - left, bottom], dim=1)
        masks = None if self.masks is None else self.masks.flip(-1)
        return replace(self, rgb=self.rgb.flip(-1), boxes=boxes, masks=masks)

    def cropped(self, left: int, top: int, right: int, bottom: int) -> "Scene":
        """A part of the image; objects of which too little is left become crowds, and those outside are dropped."""
        corner = self.boxes.new_tensor([left, top, left, top])
        far = self.boxes.new_tensor([right - left, bottom - top] * 2)
        boxes = torch.minimum((self.boxes - corner).clamp(min=0), far)
        share = _area(boxes) / _area(self.boxes).clamp(min=1e-9)
        inside = ((boxes[:, 2:] - boxes[:, :2]) >= 1).all(1)
        masks = None if self.masks is None else self.masks[inside, top:bottom, left:right]
        return Scene(
            self.rgb[:, top:bottom, left:right],
            boxes[inside],
            self.labels[inside],
            (self.crowd | (share < VISIBLE))[inside],
            masks,
        )

    def resized(self, width: int, height: int) -> "Scene":
        """The scene at another size in pixels."""
        factors = self.boxes.new_tensor([width / self.size[0], height / self.size[1]] * 2)
        rgb = functional.interpolate(self.rgb[None], (height, width), mode="bicubic", antialias=True)[0]
        masks = self.masks
        if masks is not None and len(masks):
            masks = functional.interpolate(masks[None], (height, width), mode="nearest-exact")[0]
        elif masks is not None:
            masks = masks.new_zeros(0, height, width)
        return replace(self, rgb=rgb, boxes=self.boxes * factors, masks=masks)

    def placed(self, size: int, left: int, top: int) -> "Scene":
        """The scene in a grey square of this side, with its upper left corner at (left, top)."""
        width, height = self.size
        room = (left, size - width - left, top, size - height - top)
        offset = self.boxes.new_tensor([left, top, left, top])
        masks = None if self.masks is None else functional.pad(self.masks, room)
        return replace(
            self, rgb=functional.pad(self.rgb, room, value=NEUTRAL), boxes=self.boxes + offset, masks=masks
        )

    def letter_boxed(self, size: int, scale: float = 1.0) -> "Scene":
        """The whole image with its longest side at `scale` times `size`, not yet placed."""
        return self.resized(*LetterBox(max(1, round(size * scale)), *self.size).content)

    def target(self) -> Target:
        """The objects as a training target; the image must be a square."""
        size = self.size[0]
        return Target(self.boxes / size, self.labels, self.crowd, self.masks)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)
