"""What a detector says of an image."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
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
        masks = None if self.masks is None else _cut(self.masks, self.boxes, boxes)
        return Detections(boxes, self.labels, self.scores, masks).take(inside)

    def bitmaps(self, width: int, height: int) -> Tensor:
        """Masks bool[n, height, width] of a square, or of a picture whose fractions the boxes are."""
        if self.masks is None:
            raise ValueError("the detector has no masks")
        boxes = self.boxes * self.boxes.new_tensor([width, height, width, height])
        pasted: Tensor = paste_masks_in_image(self.masks[:, None], boxes, (height, width))
        return pasted[:, 0] >= 0.5


def _cut(masks: Tensor, boxes: Tensor, parts: Tensor) -> Tensor:
    """Masks of parts of boxes, each from the same upper left corner; a mask of a whole box stays as it is."""
    shares = (parts[:, 2:] - parts[:, :2]) / (boxes[:, 2:] - boxes[:, :2])
    some = ((shares > 0) & (shares <= 1)).all(1) & (shares < 1).any(1)
    side = masks.shape[-1]
    centres = (torch.arange(side, device=masks.device) + 0.5) / side
    x, y = (2 * centres * share[:, None] - 1 for share in shares[some].T)
    grid = torch.stack([x[:, None].expand(-1, side, -1), y[:, :, None].expand(-1, -1, side)], dim=-1)
    cut = functional.grid_sample(masks[some][:, None], grid, padding_mode="border", align_corners=False)
    return masks.index_copy(0, some.nonzero()[:, 0], cut[:, 0])
