"""torchvision's proposal network and region heads, taught what a crowd is.

COCO's crowds, and VOC's difficult things, are neither to be found nor to be called background. torchvision only drops
them, and then trains what finds them to find nothing.
"""

from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork

# A box of which a crowd covers this share is ignored, unless it is a thing.
COVERED = 0.5
IGNORED = -1
Given = list[dict[str, Tensor]]


def covered(boxes: Tensor, crowd: Tensor) -> Tensor:
    """Whether one of the crowds float[M, 4] covers enough of each box float[N, 4], bool[N]."""
    if not len(crowd):
        return torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    corner = torch.maximum(boxes[:, None, :2], crowd[:, :2])
    sides = (torch.minimum(boxes[:, None, 2:], crowd[:, 2:]) - corner).clamp(min=0)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1).clamp(min=1e-9)
    return sides.prod(2).amax(1) >= COVERED * area


def without_covered(labels: list[Tensor], boxes: list[Tensor], crowds: list[Tensor]) -> list[Tensor]:
    """Labels in which background that a crowd covers is ignored."""
    return [
        torch.where((each == 0) & covered(candidates, crowd), IGNORED, each)
        for each, candidates, crowd in zip(labels, boxes, crowds, strict=True)
    ]


class ProposalNetwork(RegionProposalNetwork):  # type: ignore[misc]
    """Targets may have a `crowd`."""

    def assign_targets_to_anchors(
        self, anchors: list[Tensor], targets: Given
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Labels of the anchors (1, 0, or -1 for ignored), and the boxes they are matched with."""
        labels, boxes = super().assign_targets_to_anchors(anchors, targets)
        return without_covered(labels, anchors, [target["crowd"] for target in targets]), boxes


class RegionHeads(RoIHeads):  # type: ignore[misc]
    """Targets may have a `crowd`."""

    def select_training_samples(self, proposals: list[Tensor], targets: Given) -> Any:
        """torchvision's, after a note of the crowds."""
        self._crowds = [target["crowd"] for target in targets]
        return super().select_training_samples(proposals, targets)

    def assign_targets_to_proposals(
        self, proposals: list[Tensor], boxes: list[Tensor], labels: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """The boxes that proposals are matched with, and their labels (-1 for ignored)."""
        matched, found = super().assign_targets_to_proposals(proposals, boxes, labels)
        return matched, without_covered(found, proposals, self._crowds)
