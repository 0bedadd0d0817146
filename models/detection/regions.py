"""The cascade of a detector: the blocks that a box in doubt covers, and the union of low and high detections.

Further layers are requested for these blocks alone, and the high network then reads them.
"""

import numpy as np
import torch
from torchvision.ops import batched_nms

from overtone.frequency import BlockMask
from overtone.models.detection.detections import Detections
from overtone.models.detection.operating_point import DetectionPoint
from overtone.models.detection.region_network import NMS_IOU


def in_doubt(found: Detections, point: DetectionPoint) -> Detections:
    """The detections of the low network whose score is at least `unsure` and below `sure`."""
    return found.take((found.scores >= point.unsure) & (found.scores < point.sure))


def blocks_in_doubt(
    found: Detections, point: DetectionPoint, blocks: int, extent: tuple[float, float] = (1.0, 1.0)
) -> BlockMask:
    """The blocks whose further layers are requested after the low network's answer; none if that answer is final.

    Args:
        found: the low network's detections, boxes as fractions of the square.
        point: the operating point, whose scores decide which boxes are in doubt.
        blocks: number of blocks along a side of the square.
        extent: width and height of the picture as fractions of the square; blocks outside it are requested only if
            `point.whole`.
    """
    shape = (blocks, blocks)
    if point.whole:
        return BlockMask(np.ones(shape, np.bool_))
    boxes = in_doubt(found, point).boxes.double().cpu().numpy()
    doubtful = BlockMask.covering(boxes, shape, point.margin)
    picture = BlockMask.covering([(0.0, 0.0, *extent)], shape)
    return BlockMask(doubtful.blocks & picture.blocks)


def joined(low: Detections, high: Detections, point: DetectionPoint) -> Detections:
    """The cascade's answer: the high network's detections, and those that the low network was sure of.

    Of two boxes of one object the one with the higher score stays, as among the boxes of one network.
    """
    sure = low.above(point.sure)
    if not len(sure):
        return high
    boxes, scores, labels = (
        torch.cat([getattr(high, name), getattr(sure, name)]) for name in ("boxes", "scores", "labels")
    )
    masks = None if high.masks is None or sure.masks is None else torch.cat([high.masks, sure.masks])
    kept = batched_nms(boxes, scores, labels, NMS_IOU)
    return Detections(boxes, labels, scores, masks).take(kept)
