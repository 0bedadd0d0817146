"""The answers of a detector's cascade: low's, and high's after further layers of the blocks in doubt alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import box_iou

from overtone.frequency import BlockMask, Encoded, Profile, encode_region, known_values
from overtone.models.detection.detections import Detections
from overtone.models.detection.detector import Detector
from overtone.models.detection.operating_point import DetectionPoint
from overtone.models.detection.regions import blocks_in_doubt, joined
from overtone.training.detection.predictions import BATCH, CodedBatch, run

# The intersection over union from which a box finds a thing.
FOUND_IOU = 0.5


@dataclass(frozen=True)
class RegionAnswer:
    """The answer to one picture at an operating point.

    Attributes:
        found: the detections, with boxes as fractions of the square.
        sent: payload bytes of all layers.
        share: fraction of the blocks whose further layers were requested.
    """

    found: Detections
    sent: int
    share: float


@dataclass(frozen=True)
class HighAnswer:
    """The high network's detections after further layers of some blocks, and the bytes of these layers."""

    found: Detections
    sent: int


class RegionCascade:
    """A detector and its profile at one quality. Blocks are asked for after the first layer."""

    def __init__(self, detector: Detector, profile: Profile, quality: int) -> None:
        self.detector, self.profile, self.quality = detector, profile, quality

    def answers(self, batch: CodedBatch, points: Sequence[DetectionPoint]) -> list[list[RegionAnswer]]:
        """The answers [pictures][points]; points that request the same blocks of a picture share the computation."""
        masks = [
            [blocks_in_doubt(low, point, self.profile.blocks, (width, height)) for point in points]
            for low, (width, height) in zip(batch.found[0], batch.extents.tolist(), strict=True)
        ]
        wanted = [(i, mask) for i, row in enumerate(masks) for mask in dict.fromkeys(row) if _partial(mask)]
        further = dict(zip(wanted, self._high_answers(batch, wanted), strict=True))
        return [
            [self._answer(batch, i, mask, point, further) for mask, point in zip(row, points, strict=True)]
            for i, row in enumerate(masks)
        ]

    def _answer(
        self,
        batch: CodedBatch,
        number: int,
        mask: BlockMask,
        point: DetectionPoint,
        further: dict[tuple[int, BlockMask], HighAnswer],
    ) -> RegionAnswer:
        low, sizes = batch.found[0][number], batch.sizes[number]
        if not mask.count:
            return RegionAnswer(low, int(sizes[0]), 0.0)
        all_blocks = HighAnswer(batch.found[-1][number], int(sizes[1:].sum()))
        more = all_blocks if mask.everything else further[number, mask]
        return RegionAnswer(joined(low, more.found, point), int(sizes[0]) + more.sent, mask.share)

    def _high_answers(self, batch: CodedBatch, wanted: Sequence[tuple[int, BlockMask]]) -> list[HighAnswer]:
        """The high network's answers to pictures of which all layers are known in the blocks of a mask."""
        found: list[Detections] = []
        for at in range(0, len(wanted), BATCH):
            part = wanted[at : at + BATCH]
            x = torch.stack([self._dequantised(batch.values[i], mask) for i, mask in part])
            with torch.inference_mode():
                found += run(self.detector, x, batch.extents[[i for i, _ in part]])
        sent = [self._bytes(batch.values[i], mask) for i, mask in wanted]
        return [HighAnswer(*pair) for pair in zip(found, sent, strict=True)]

    def _dequantised(self, values: Tensor, mask: BlockMask) -> Tensor:
        """The coefficients float32[C, h, w] that a decoder restores, from quantised ones int16[C, h, w]."""
        layers = len(self.profile.ladder)
        known = known_values(values.numpy(), self.profile, layers, (None, *[mask] * (layers - 1)))
        steps = torch.from_numpy(self.profile.known_steps(self.quality, layers))
        return torch.from_numpy(known) * steps[:, None, None]

    def _bytes(self, values: Tensor, mask: BlockMask) -> int:
        """Bytes of the payload that further layers of the mask's blocks take."""
        image = Encoded((b"",), self.quality, values.numpy())
        return encode_region(image, self.profile, mask).size


def _partial(mask: BlockMask) -> bool:
    return bool(mask.count) and not mask.everything


def missed(answer: Detections, full: Detections, shown: float) -> float:
    """The share of the full answer's things that an answer misses, 0 if there are none; see `DetectionPoint`."""
    things, mine = full.above(shown), answer.above(shown)
    if not len(things):
        return 0.0
    hits = (box_iou(things.boxes, mine.boxes) >= FOUND_IOU) & (things.labels[:, None] == mine.labels)
    return float((~hits.any(1)).float().mean())


@dataclass(frozen=True)
class PointResults:
    """The results of m operating points on n pictures.

    Attributes:
        missed: the share of each picture's things that is missed, float64[m, n].
        sent: payload bytes, int64[m, n].
        shares: the share of each picture's blocks that is requested, float64[m, n].
    """

    missed: NDArray[np.float64]
    sent: NDArray[np.int64]
    shares: NDArray[np.float64]


def measure_points(
    cascade: RegionCascade, batches: Sequence[CodedBatch], points: Sequence[DetectionPoint]
) -> PointResults:
    """The results of operating points on the pictures of some batches."""
    shape = len(points), sum(len(batch.values) for batch in batches)
    results = PointResults(np.zeros(shape), np.zeros(shape, np.int64), np.zeros(shape))
    number = 0
    for batch in batches:
        for answers, full in zip(cascade.answers(batch, points), batch.found[-1], strict=True):
            for row, (answer, point) in enumerate(zip(answers, points, strict=True)):
                results.missed[row, number] = missed(answer.found, full, point.shown)
                results.sent[row, number] = answer.sent
                results.shares[row, number] = answer.share
            number += 1
    return results
