"""Overtones only where they matter: which blocks are in doubt, and how low's and high's answers become one."""

import numpy as np
import torch
from torchvision.ops import batched_nms

from overtone.frequency import BlockMask
from overtone.models.detection.detections import Detections
from overtone.models.detection.operating_point import DetectionPoint
from overtone.models.detection.region_network import OVERLAP


def in_doubt(found: Detections, point: DetectionPoint) -> Detections:
    """Those of low's boxes that neither surely are there nor surely are not."""
    return found.take((found.scores >= point.unsure) & (found.scores < point.sure))


def blocks_in_doubt(
    found: Detections, point: DetectionPoint, blocks: int, extent: tuple[float, float] = (1.0, 1.0)
) -> BlockMask:
    """The blocks whose further layers are asked for, given low's answer; none if that is final.

    Args:
        found: low's answer, boxes as fractions of the square.
        point: says what is in doubt.
        blocks: of a side of the square.
        extent: width and height of the picture as fractions of the square; blocks of the rest are never asked for,
            unless all are.
    """
    shape = (blocks, blocks)
    if point.whole:
        return BlockMask(np.ones(shape, np.bool_))
    boxes = in_doubt(found, point).boxes.double().cpu().numpy()
    doubtful = BlockMask.covering(boxes, shape, point.margin)
    picture = BlockMask.covering([(0.0, 0.0, *extent)], shape)
    return BlockMask(doubtful.blocks & picture.blocks)


def joined(low: Detections, high: Detections, point: DetectionPoint) -> Detections:
    """The answer once high has seen the blocks in doubt: what high has found, and what low was sure of.

    Where both have found the same thing, the better score stays, as among the boxes of one network.
    """
    sure = low.above(point.sure)
    if not len(sure):
        return high
    boxes, scores, labels = (
        torch.cat([getattr(high, name), getattr(sure, name)]) for name in ("boxes", "scores", "labels")
    )
    masks = None if high.masks is None or sure.masks is None else torch.cat([high.masks, sure.masks])
    kept = batched_nms(boxes, scores, labels, OVERLAP)
    return Detections(boxes, labels, scores, masks).take(kept)
