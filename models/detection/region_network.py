"""Faster R-CNN and Mask R-CNN (Ren et al. 2015; He et al. 2017) on a feature pyramid (Lin et al. 2017).

The parts are torchvision's; this module sizes and joins them, and replaces what assumes images of any shape.
"""

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

from overtone.models.detection.crowds import ProposalNetwork, RegionHeads
from overtone.models.detection.detections import Detections
from overtone.models.detection.features import Features

ASPECT_RATIOS = (0.5, 1.0, 2.0)
# Side of the pooled regions for boxes and for masks, and RoIAlign's sampling points a side of each of their bins.
BOX_BINS, MASK_BINS, POINTS = 7, 14, 2
# Of two boxes of a class whose intersection over union is larger, the one with the lower score is removed.
NMS_IOU = 0.5
# A region is pooled from the level at which its side is about this many strides.
CELLS = 7


class HeadConfig(BaseModel):
    """The sizes of all parts behind the backbone.

    Attributes:
        width: channels of the feature pyramid.
        hidden: units of the box head's two hidden layers.
        masks: whether there is a mask head.
        mask_layers: convolutions of the mask head.
        anchors: sides of the anchors, in strides of their level.
        candidates: anchors of each level that enter non-maximum suppression.
        proposals: regions of an image that the box head classifies.
        samples: regions of each image that it is trained on.
        detections: largest number of detections in an image.
        score: smallest score of a detection.
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
    """The annotated objects of one training image.

    Attributes:
        boxes: float32[n, 4], as fractions of the square.
        labels: int64[n], class indices.
        crowd: bool[n], regions that training ignores (see `models.detection.crowds`).
        masks: uint8[n, size, size] of 0 and 1, of any size; None if there are none.
    """

    boxes: Tensor
    labels: Tensor
    crowd: Tensor
    masks: Tensor | None = None

    def to(self, device: torch.device) -> "Target":
        """The same target on another device."""
        masks = None if self.masks is None else self.masks.to(device)
        return Target(self.boxes.to(device), self.labels.to(device), self.crowd.to(device), masks)


class Anchors(AnchorGenerator):  # type: ignore[misc]
    """Anchors at the strides of the maps, also where a side of the image is no multiple of them."""

    def __init__(self, strides: tuple[int, ...], sides: tuple[float, ...]) -> None:
        super().__init__(
            tuple(tuple(side * s for side in sides) for s in strides), (ASPECT_RATIOS,) * len(strides)
        )
        self.strides = strides

    def forward(self, images: ImageList, maps: list[Tensor]) -> list[Tensor]:
        """Anchors float32[n, 4] for each image, in pixels."""
        dtype, device = maps[0].dtype, maps[0].device
        self.set_cell_anchors(dtype, device)
        strides = [[torch.tensor(s, device=device)] * 2 for s in self.strides]
        anchors = torch.cat(self.grid_anchors([list(m.shape[-2:]) for m in maps], strides))
        return [anchors] * len(images.image_sizes)


class RegionNetwork(nn.Module):
    """A detector's network: inputs [N, C, h, w] of its backbone -> boxes, classes, scores and masks of each image."""

    def __init__(self, features: Features, classes: int, head: HeadConfig) -> None:
        super().__init__()
        self.features, self.classes, self.head = features, classes, head
        self.pyramid = FeaturePyramidNetwork(features.channels, head.width, LastLevelMaxPool())
        self.proposals = _proposal_network(features.strides, head)
        self.regions = _region_heads(features.strides, classes, head)

    def losses(self, x: Tensor, targets: list[Target]) -> dict[str, Tensor]:
        """torchvision's losses of a batch, scalars by name; the network must be in training mode."""
        side = self._side(x)
        annotations = [_as_torchvision(target, side) for target in targets]
        maps, images = self._maps(x)
        proposals, proposal_losses = self.proposals(images, maps, annotations)
        _, region_losses = self.regions(maps, proposals, images.image_sizes, annotations)
        losses = proposal_losses | region_losses
        return {name.removeprefix("loss_"): value for name, value in losses.items()}

    def forward(self, x: Tensor, extents: Tensor | None = None) -> list[Detections]:
        """The detections of each image; the network must be in eval mode.

        Args:
            x: inputs of the backbone [N, C, h, w].
            extents: float[N, 2], width and height of each picture as fractions of the square; None if pictures fill it.
        """
        maps, images = self._maps(x)
        proposals, _ = self.proposals(images, maps)
        results, _ = self.regions(maps, proposals, images.image_sizes)
        side = self._side(x)
        detections = [
            Detections(
                r["boxes"] / side, r["labels"] - 1, r["scores"], r["masks"][:, 0] if "masks" in r else None
            )
            for r in results
        ]
        if extents is None:
            return detections
        return [d.within(*extent) for d, extent in zip(detections, extents.tolist(), strict=True)]

    def _side(self, x: Tensor) -> int:
        """Side in pixels of the square image that the inputs stand for."""
        return int(x.shape[-1]) * self.features.pixels

    def _maps(self, x: Tensor) -> tuple[dict[str, Tensor], ImageList]:
        maps = self.pyramid({str(i): m for i, m in enumerate(self.features(x))})
        # Boxes are found in float32, whatever the features were computed in.
        return {name: m.float() for name, m in maps.items()}, ImageList(x, [(self._side(x),) * 2] * len(x))


def _proposal_network(strides: tuple[int, ...], head: HeadConfig) -> ProposalNetwork:
    anchors = Anchors((*strides, 2 * strides[-1]), head.anchors)
    per_position = len(head.anchors) * len(ASPECT_RATIOS)
    after = {"training": 2 * head.proposals, "testing": head.proposals}
    before = {"training": head.candidates, "testing": head.candidates}
    return ProposalNetwork(anchors, RPNHead(head.width, per_position), 0.7, 0.3, 256, 0.5, before, after, 0.7)


def _region_heads(strides: tuple[int, ...], classes: int, head: HeadConfig) -> RegionHeads:
    heads = RegionHeads(
        _pooler(strides, BOX_BINS),
        TwoMLPHead(head.width * BOX_BINS**2, head.hidden),
        FastRCNNPredictor(head.hidden, classes + 1),
        fg_iou_thresh=0.5,
        bg_iou_thresh=0.5,
        batch_size_per_image=head.samples,
        positive_fraction=0.25,
        bbox_reg_weights=None,
        score_thresh=head.score,
        nms_thresh=NMS_IOU,
        detections_per_img=head.detections,
    )
    if head.masks:
        heads.mask_roi_pool = _pooler(strides, MASK_BINS)
        heads.mask_head = MaskRCNNHeads(head.width, (head.width,) * head.mask_layers, 1)
        heads.mask_predictor = MaskRCNNPredictor(head.width, head.width, classes + 1)
    return heads


def _pooler(strides: tuple[int, ...], bins: int) -> MultiScaleRoIAlign:
    names, first = [str(i) for i in range(len(strides))], round(log2(strides[0]))
    pooler = MultiScaleRoIAlign(names, bins, POINTS)
    # Without `scales` the pooler estimates the strides from the sizes of the maps, which are rounded.
    pooler.scales = [1 / stride for stride in strides]
    pooler.map_levels = initLevelMapper(
        first, first + len(strides) - 1, canonical_scale=CELLS * strides[0], canonical_level=first
    )
    return pooler


def _as_torchvision(target: Target, side: int) -> dict[str, Tensor]:
    """A target as torchvision's heads take it: boxes in pixels, class numbers from 1 on (0 is the background)."""
    objects = ~target.crowd
    boxes = target.boxes.float() * side
    annotation = {
        "boxes": boxes[objects],
        "labels": target.labels[objects] + 1,
        "crowd": boxes[target.crowd],
    }
    if target.masks is None:
        return annotation
    masks = target.masks[objects]
    if len(masks) and masks.shape[-1] != side:
        masks = nn.functional.interpolate(masks[None].float(), (side, side), mode="area")[0].round().byte()
    return annotation | {"masks": masks}
