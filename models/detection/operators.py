"""Non-maximum suppression and RoIAlign in torch, for where torchvision's C++ operators do not load.

That is the case beside a CPU-only torch (see `models.torch_vision`). Both compute what torchvision's do; RoIAlign
(He et al., "Mask R-CNN", ICCV 2017, section 3) has gradients.
"""

import importlib

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from overtone.models.torch_vision import torchvision

ROI_ALIGN = (
    "roi_align(Tensor input, Tensor rois, float spatial_scale, int pooled_height, int pooled_width, "
    "int sampling_ratio, bool aligned) -> Tensor"
)
_provided: list[torch.library.Library] = []


def register_operators() -> None:
    """Register both operators with torch under torchvision's names, unless torchvision's own are loaded."""
    torchvision()
    extension = importlib.import_module("torchvision.extension")
    if extension._has_ops():
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define(ROI_ALIGN)
    library.impl("nms", nms, "CPU")
    library.impl("roi_align", roi_align, "CompositeImplicitAutograd")
    _provided.append(library)
    for module in (extension, importlib.import_module("torchvision.ops.roi_align")):
        module.__dict__["_has_ops"] = lambda: True


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Non-maximum suppression: indices int64[K] of the boxes float[N, 4] that stay, by falling score.

    A box is removed if one that stays has a higher score and an intersection over union above `iou_threshold` with it.
    """
    order = scores.argsort(descending=True, stable=True)
    left, top, right, bottom = boxes[order].double().unbind(1)
    area = (right - left) * (bottom - top)
    width = torch.minimum(right[:, None], right) - torch.maximum(left[:, None], left)
    height = torch.minimum(bottom[:, None], bottom) - torch.maximum(top[:, None], top)
    shared = width.clamp(min=0) * height.clamp(min=0)
    overlap = (shared > iou_threshold * (area[:, None] + area - shared)).numpy()
    gone, kept = np.zeros(len(order), bool), []
    for i in range(len(order)):
        if not gone[i]:
            kept.append(i)
            gone |= overlap[i]
    return order[torch.tensor(kept, dtype=torch.int64)]


def roi_align(
    maps: Tensor, rois: Tensor, scale: float, height: int, width: int, ratio: int, aligned: bool
) -> Tensor:
    """Regions `rois` float[K, 5] (image number, corners) of maps float[N, C, H, W], as float[K, C, height, width].

    Each value is the mean of ratio x ratio sampling points; if the ratio is not positive, of about one for each pixel.
    """
    bins = maps.new_zeros(len(rois), maps.shape[1], height, width)
    corners = rois[:, 1:].float() * scale - (0.5 if aligned else 0.0)
    sides = corners[:, 2:] - corners[:, :2]
    if not aligned:
        sides = sides.clamp(min=1)
    size = torch.tensor([width, height], device=rois.device)
    points = torch.full_like(sides, ratio) if ratio > 0 else (sides / size).ceil().clamp(min=1)
    groups = torch.cat([rois[:, :1].float(), points], dim=1)
    for group in groups.unique(dim=0):
        chosen = (groups == group).all(1).nonzero()[:, 0]
        image, across, down = map(int, group.tolist())
        pooled = _bins(maps[image], corners[chosen, :2], sides[chosen], (height, down), (width, across))
        bins = bins.index_copy(0, chosen, pooled.to(bins.dtype))
    return bins


def _bins(
    image: Tensor, corner: Tensor, sides: Tensor, rows: tuple[int, int], columns: tuple[int, int]
) -> Tensor:
    """The regions of one image float[C, H, W], as in `roi_align`.

    `rows` and `columns` are pairs: the number of bins, and of sampling points in each.
    """
    (height, down), (width, across) = rows, columns
    y = _sample_points(corner[:, 1], sides[:, 1], height * down, image.shape[1])
    x = _sample_points(corner[:, 0], sides[:, 0], width * across, image.shape[2])
    k, tall, wide = len(corner), height * down, width * across
    grid = torch.stack([x[:, None].expand(k, tall, wide), y[:, :, None].expand(k, tall, wide)], dim=-1)
    sampled = functional.grid_sample(
        image.float()[None], grid.reshape(1, k * tall, wide, 2), padding_mode="border", align_corners=True
    )
    # Points more than a pixel outside count as zero.
    inside = (grid.abs() < torch.inf).all(-1).reshape(k * tall, wide)
    mean = functional.avg_pool2d(torch.where(inside, sampled, 0), (down, across))
    bins: Tensor = mean[0].unflatten(1, (k, height)).transpose(0, 1)
    return bins


def _sample_points(start: Tensor, length: Tensor, count: int, side: int) -> Tensor:
    """Centres float[K, count] of `count` equal parts of each interval, in the coordinates of `grid_sample`.

    These run from -1 (first pixel) to 1 (last pixel of `side`). Points outside the map are infinite.
    """
    parts = (torch.arange(count, device=start.device) + 0.5) / count
    pixels = start[:, None] + length[:, None] * parts
    return torch.where((pixels >= -1) & (pixels <= side), 2 * pixels / max(side - 1, 1) - 1, torch.inf)
