"""What a detector says of an image."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.models.detection.roi_heads import paste_masks_in_image


@dataclass(frozen=True)
class Detections:
    """The things in one image, by falling score.

    Attributes:
        boxes: float32[n, 4], left, top, right, bottom as fractions of the square that the detector read.
        labels: int64[n], indices of classes.
        scores: float32[n], from 0 to 1.
        masks: float32[n, m, m], probabilities within each box; None if the detector has no masks.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor
    masks: Tensor | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def above(self, score: float) -> "Detections":
        """Those of at least this score."""
        return self.take(self.scores >= score)

    def take(self, chosen: Tensor) -> "Detections":
        """Those at these indices, or where this mask is true."""
        masks = None if self.masks is None else self.masks[chosen]
        return Detections(self.boxes[chosen], self.labels[chosen], self.scores[chosen], masks)

    def within(self, width: float, height: float) -> "Detections":
        """Boxes cut off at the end of the picture, whose sides are these fractions of the square's."""
        limits = self.boxes.new_tensor([width, height, width, height])
        boxes = torch.minimum(self.boxes, limits)
        inside = (boxes[:, 2:] > boxes[:, :2]).all(1)
        return Detections(boxes, self.labels, self.scores, self.masks).take(inside)

    def bitmaps(self, width: int, height: int) -> Tensor:
        """Masks bool[n, height, width] of a square, or of a picture whose fractions the boxes are."""
        if self.masks is None:
            raise ValueError("the detector has no masks")
        boxes = self.boxes * self.boxes.new_tensor([width, height, width, height])
        pasted: Tensor = paste_masks_in_image(self.masks[:, None], boxes, (height, width))
        return pasted[:, 0] >= 0.5
