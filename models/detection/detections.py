"""The detections of one image: boxes, classes, scores and masks."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.models.detection.roi_heads import paste_masks_in_image


@dataclass(frozen=True)
class Detections:
    """The n objects that were found in one image, by falling score.

    Attributes:
        boxes: float32[n, 4], left, top, right, bottom as fractions of the square that the detector read.
        labels: int64[n], class indices.
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
        """The detections whose score is at least `score`."""
        return self.take(self.scores >= score)

    def take(self, chosen: Tensor) -> "Detections":
        """The detections at these indices, int64[k], or where this mask, bool[n], is true."""
        masks = None if self.masks is None else self.masks[chosen]
        return Detections(self.boxes[chosen], self.labels[chosen], self.scores[chosen], masks)

    def within(self, width: float, height: float) -> "Detections":
        """Boxes clipped to the picture, whose sides are these fractions of the square's; empty boxes are dropped."""
        limits = self.boxes.new_tensor([width, height, width, height])
        boxes = torch.minimum(self.boxes, limits)
        inside = (boxes[:, 2:] > boxes[:, :2]).all(1)
        masks = None if self.masks is None else _crop_masks(self.masks, self.boxes, boxes)
        return Detections(boxes, self.labels, self.scores, masks).take(inside)

    def bitmaps(self, width: int, height: int) -> Tensor:
        """Masks bool[n, height, width], pasted into the whole square, or into the picture that boxes are fractions of.

        Raises:
            ValueError: the detector has no masks.
        """
        if self.masks is None:
            raise ValueError("the detector has no masks")
        boxes = self.boxes * self.boxes.new_tensor([width, height, width, height])
        pasted: Tensor = paste_masks_in_image(self.masks[:, None], boxes, (height, width))
        return pasted[:, 0] >= 0.5


def _crop_masks(masks: Tensor, boxes: Tensor, clipped: Tensor) -> Tensor:
    """Masks resampled to clipped boxes, which keep the upper left corner; masks of boxes that were not clipped stay."""
    shares = (clipped[:, 2:] - clipped[:, :2]) / (boxes[:, 2:] - boxes[:, :2])
    smaller = ((shares > 0) & (shares <= 1)).all(1) & (shares < 1).any(1)
    side = masks.shape[-1]
    centres = (torch.arange(side, device=masks.device) + 0.5) / side
    x, y = (2 * centres * share[:, None] - 1 for share in shares[smaller].T)
    grid = torch.stack([x[:, None].expand(-1, side, -1), y[:, :, None].expand(-1, -1, side)], dim=-1)
    cropped = functional.grid_sample(
        masks[smaller][:, None], grid, padding_mode="border", align_corners=False
    )
    return masks.index_copy(0, smaller.nonzero()[:, 0], cropped[:, 0])
