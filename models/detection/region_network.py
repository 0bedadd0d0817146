"""Faster R-CNN and Mask R-CNN (Ren et al. 2015; He et al. 2017) on a pyramid of features (Lin et al. 2017)."""

from dataclasses import dataclass
from math import log2

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool
from torchvision.ops.poolers import initLevelMapper

from overtone.models.detection.detections import Detections
from overtone.models.detection.features import Features
from overtone.models.detection.ignoring import ProposalNetwork, RegionHeads

RATIOS = (0.5, 1.0, 2.0)
BOX_BINS, MASK_BINS, POINTS = 7, 14, 2
# Of two boxes of a class that overlap by more than this, the better one stays.
OVERLAP = 0.5
# A region as large as this many strides of a level is cut out of it, one bin a cell.
CELLS = 7


class Head(BaseModel):
    """The size of everything behind the features.

    Attributes:
        width: channels of the pyramid.
        hidden: units of the two layers that judge a region.
        masks: whether there are masks.
        mask_layers: convolutions before the masks.
        anchors: sides of the anchors, in strides of their level.
        candidates: anchors of each level that suppression sees.
        proposals: regions that are judged.
        samples: regions of each image that training judges.
        detections: the most of an image.
        score: the least score of a detection.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    width: int = Field(default=96, gt=0)
    hidden: int = Field(default=256, gt=0)
    masks: bool = False
    mask_layers: int = Field(default=2, ge=0)
    anchors: tuple[float, ...] = (2.5, 4.0)
    candidates: int = Field(default=300, gt=0)
    proposals: int = Field(default=100, gt=0)
    samples: int = Field(default=64, gt=0)
    detections: int = Field(default=100, gt=0)
    score: float = Field(default=0.02, ge=0, lt=1)


@dataclass(frozen=True)
class Target:
    """What there is in one image.

    Attributes:
        boxes: float32[n, 4], as fractions of the square.
        labels: int64[n], indices of classes.
        crowd: bool[n], regions that are neither to be found nor to be called empty.
        masks: uint8[n, size, size] of 0 and 1, at any size; None if there are none.
    """

    boxes: Tensor
    labels: Tensor
    crowd: Tensor
    masks: Tensor | None = None

    def to(self, device: torch.device) -> "Target":
        """The same on a device."""
        masks = None if self.masks is None else self.masks.to(device)
        return Target(self.boxes.to(device), self.labels.to(device), self.crowd.to(device), masks)


class Anchors(AnchorGenerator):  # type: ignore[misc]
    """Anchors at the strides of the maps, also where a side of the image is no multiple of them."""

    def __init__(self, strides: tuple[int, ...], sides: tuple[float, ...]) -> None:
        super().__init__(tuple(tuple(side * s for side in sides) for s in strides), (RATIOS,) * len(strides))
        self.strides = strides

    def forward(self, images: ImageList, maps: list[Tensor]) -> list[Tensor]:
        """Anchors float32[n, 4] for each image, in pixels."""
        dtype, device = maps[0].dtype, maps[0].device
        self.set_cell_anchors(dtype, device)
        strides = [[torch.tensor(s, device=device)] * 2 for s in self.strides]
        found = torch.cat(self.grid_anchors([list(m.shape[-2:]) for m in maps], strides))
        return [found] * len(images.image_sizes)


class RegionNetwork(nn.Module):
    """Inputs [N, C, h, w] -> what is where."""

    def __init__(self, features: Features, classes: int, head: Head) -> None:
        super().__init__()
        self.features, self.classes, self.head = features, classes, head
        self.pyramid = FeaturePyramidNetwork(features.channels, head.width, LastLevelMaxPool())
        self.proposals = _proposal_network(features.strides, head)
        self.regions = _region_heads(features.strides, classes, head)

    def losses(self, x: Tensor, targets: list[Target]) -> dict[str, Tensor]:
        """The losses of a batch by name; the network is in training mode."""
        side = self._side(x)
        given = [_as_torchvision(target, side) for target in targets]
        maps, images = self._maps(x)
        proposals, first = self.proposals(images, maps, given)
        _, second = self.regions(maps, proposals, images.image_sizes, given)
        return {name.removeprefix("loss_"): value for name, value in (first | second).items()}

    def forward(self, x: Tensor, extents: Tensor | None = None) -> list[Detections]:
        """The detections of each image; the network is in eval mode.

        `extents` float[N, 2] are width and height of the pictures as fractions of the square, 1 unless given.
        """
        maps, images = self._maps(x)
        proposals, _ = self.proposals(images, maps)
        found, _ = self.regions(maps, proposals, images.image_sizes)
        side = self._side(x)
        detections = [
            Detections(
                f["boxes"] / side, f["labels"] - 1, f["scores"], f["masks"][:, 0] if "masks" in f else None
            )
            for f in found
        ]
        if extents is None:
            return detections
        return [d.within(*extent) for d, extent in zip(detections, extents.tolist(), strict=True)]

    def _side(self, x: Tensor) -> int:
        """The side in pixels of the image that is read; images are squares."""
        return int(x.shape[-1]) * self.features.pixels

    def _maps(self, x: Tensor) -> tuple[dict[str, Tensor], ImageList]:
        maps = self.pyramid({str(i): m for i, m in enumerate(self.features(x))})
        # Boxes are found in float32, whatever the features were computed in.
        return {name: m.float() for name, m in maps.items()}, ImageList(x, [(self._side(x),) * 2] * len(x))


def _proposal_network(strides: tuple[int, ...], head: Head) -> ProposalNetwork:
    anchors = Anchors((*strides, 2 * strides[-1]), head.anchors)
    per_place = len(head.anchors) * len(RATIOS)
    keep = {"training": 2 * head.proposals, "testing": head.proposals}
    before = {"training": head.candidates, "testing": head.candidates}
    return ProposalNetwork(anchors, RPNHead(head.width, per_place), 0.7, 0.3, 256, 0.5, before, keep, 0.7)


def _region_heads(strides: tuple[int, ...], classes: int, head: Head) -> RegionHeads:
    bins = head.width * BOX_BINS**2
    found = RegionHeads(
        _pooler(strides, BOX_BINS),
        TwoMLPHead(bins, head.hidden),
        FastRCNNPredictor(head.hidden, classes + 1),
        fg_iou_thresh=0.5,
        bg_iou_thresh=0.5,
        batch_size_per_image=head.samples,
        positive_fraction=0.25,
        bbox_reg_weights=None,
        score_thresh=head.score,
        nms_thresh=OVERLAP,
        detections_per_img=head.detections,
    )
    if head.masks:
        found.mask_roi_pool = _pooler(strides, MASK_BINS)
        found.mask_head = MaskRCNNHeads(head.width, (head.width,) * head.mask_layers, 1)
        found.mask_predictor = MaskRCNNPredictor(head.width, head.width, classes + 1)
    return found


def _pooler(strides: tuple[int, ...], bins: int) -> MultiScaleRoIAlign:
    names, first = [str(i) for i in range(len(strides))], round(log2(strides[0]))
    pooler = MultiScaleRoIAlign(names, bins, POINTS)
    # It would guess the strides of the maps from their sizes, which are rounded.
    pooler.scales = [1 / stride for stride in strides]
    pooler.map_levels = initLevelMapper(
        first, first + len(strides) - 1, canonical_scale=CELLS * strides[0], canonical_level=first
    )
    return pooler


def _as_torchvision(target: Target, side: int) -> dict[str, Tensor]:
    """The target as torchvision's heads take it: pixels of the image that is read, classes from 1 on."""
    things = ~target.crowd
    boxes = target.boxes.float() * side
    given = {"boxes": boxes[things], "labels": target.labels[things] + 1, "crowd": boxes[target.crowd]}
    if target.masks is None:
        return given
    masks = target.masks[things]
    if len(masks) and masks.shape[-1] != side:
        masks = nn.functional.interpolate(masks[None].float(), (side, side), mode="area")[0].round().byte()
    return given | {"masks": masks}
