"""torchvision's proposal network and region heads, with regions that training ignores.

COCO's crowds and VOC's difficult objects should count neither as objects nor as background. torchvision's reference
training just drops them from the targets, so that boxes on them are trained as background.
"""

from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork

# A background box is ignored if a crowd covers at least this share of it.
COVERED = 0.5
# The label of boxes that torchvision leaves out of the losses.
IGNORED = -1
Targets = list[dict[str, Tensor]]


def covered(boxes: Tensor, crowd: Tensor) -> Tensor:
    """Whether one of the crowds float[M, 4] covers a share of at least `COVERED` of each box float[N, 4], bool[N]."""
    if not len(crowd):
        return torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    corner = torch.maximum(boxes[:, None, :2], crowd[:, :2])
    sides = (torch.minimum(boxes[:, None, 2:], crowd[:, 2:]) - corner).clamp(min=0)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1).clamp(min=1e-9)
    return sides.prod(2).amax(1) >= COVERED * area


def without_covered(labels: list[Tensor], boxes: list[Tensor], crowds: list[Tensor]) -> list[Tensor]:
    """The labels of each image's candidate boxes, with `IGNORED` for background (0) that a crowd covers."""
    return [
        torch.where((each == 0) & covered(candidates, crowd), IGNORED, each)
        for each, candidates, crowd in zip(labels, boxes, crowds, strict=True)
    ]


class ProposalNetwork(RegionProposalNetwork):  # type: ignore[misc]
    """A region proposal network whose targets have a `crowd`: boxes float[M, 4] to be ignored."""

    def assign_targets_to_anchors(
        self, anchors: list[Tensor], targets: Targets
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Labels of the anchors (1, 0, or -1 for ignored), and the boxes they are matched with."""
        labels, boxes = super().assign_targets_to_anchors(anchors, targets)
        return without_covered(labels, anchors, [target["crowd"] for target in targets]), boxes


class RegionHeads(RoIHeads):  # type: ignore[misc]
    """Region heads whose targets have a `crowd`, as for `ProposalNetwork`."""

    def select_training_samples(self, proposals: list[Tensor], targets: Targets) -> Any:
        """As torchvision's; the crowds are kept for `assign_targets_to_proposals`, which is not given the targets."""
        self._crowds = [target["crowd"] for target in targets]
        return super().select_training_samples(proposals, targets)

    def assign_targets_to_proposals(
        self, proposals: list[Tensor], boxes: list[Tensor], labels: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """The boxes that proposals are matched with, and their labels (-1 for ignored)."""
        matched, assigned = super().assign_targets_to_proposals(proposals, boxes, labels)
        return matched, without_covered(assigned, proposals, self._crowds)
