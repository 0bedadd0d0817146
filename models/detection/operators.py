"""The two C++ operators that torchvision's detectors need, in torch, for where torchvision's own do not load.

That is the case beside a CPU-only torch (see `models.torch_vision`). Both do what torchvision's do: non-maximum
suppression, and RoIAlign (He et al., "Mask R-CNN", ICCV 2017, section 3) with gradients.
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


def provide() -> None:
    """Register the operators with torchvision, unless its own are there."""
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
    """Indices int64[K], by falling score, of the boxes float[N, 4] that no better box overlaps by more than this."""
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
    """Bins float[K, C, height, width] of the regions `rois` float[K, 5] (image, corners) of maps float[N, C, H, W].

    Each bin is the mean of ratio x ratio points; of as many as its pixels if the ratio is not positive.
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
        found = _bins(maps[image], corners[chosen, :2], sides[chosen], (height, down), (width, across))
        bins = bins.index_copy(0, chosen, found.to(bins.dtype))
    return bins


def _bins(
    image: Tensor, corner: Tensor, sides: Tensor, rows: tuple[int, int], columns: tuple[int, int]
) -> Tensor:
    """Bins float[K, C, rows, columns] of one image float[C, H, W]; `rows` and `columns` are (bins, points in each)."""
    (height, down), (width, across) = rows, columns
    y = _places(corner[:, 1], sides[:, 1], height * down, image.shape[1])
    x = _places(corner[:, 0], sides[:, 0], width * across, image.shape[2])
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


def _places(start: Tensor, length: Tensor, count: int, side: int) -> Tensor:
    """Centres float[K, count] of equal parts of lengths, from -1 (first pixel) to 1 (last pixel of `side`)."""
    parts = (torch.arange(count, device=start.device) + 0.5) / count
    at = start[:, None] + length[:, None] * parts
    return torch.where((at >= -1) & (at <= side), 2 * at / max(side - 1, 1) - 1, torch.inf)
