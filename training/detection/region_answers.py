"""What the cascade of a detector answers: low, and high with further layers of the blocks in doubt alone."""

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
from overtone.training.detection.predictions import BATCH, Coded, run

# A box finds a thing that it overlaps by this much.
FOUND = 0.5


@dataclass(frozen=True)
class RegionAnswer:
    """The answer to one picture at an operating point.

    Attributes:
        found: boxes as fractions of the square.
        sent: payload bytes of all layers.
        share: of the blocks, how many further layers were asked for.
    """

    found: Detections
    sent: int
    share: float


@dataclass(frozen=True)
class Further:
    """What further layers of some blocks bring: high's answer, and their bytes."""

    found: Detections
    sent: int


class RegionCascade:
    """A detector and its profile at one quality. Blocks are asked for after the first layer."""

    def __init__(self, detector: Detector, profile: Profile, quality: int) -> None:
        self.detector, self.profile, self.quality = detector, profile, quality

    def answers(self, batch: Coded, points: Sequence[DetectionPoint]) -> list[list[RegionAnswer]]:
        """The answers [pictures][points]; what several points ask for alike is computed once."""
        masks = [
            [blocks_in_doubt(low, point, self.profile.blocks, (width, height)) for point in points]
            for low, (width, height) in zip(batch.found[0], batch.extents.tolist(), strict=True)
        ]
        wanted = [(i, mask) for i, row in enumerate(masks) for mask in dict.fromkeys(row) if _partial(mask)]
        further = dict(zip(wanted, self._further(batch, wanted), strict=True))
        return [
            [self._answer(batch, i, mask, point, further) for mask, point in zip(row, points, strict=True)]
            for i, row in enumerate(masks)
        ]

    def _answer(
        self,
        batch: Coded,
        number: int,
        mask: BlockMask,
        point: DetectionPoint,
        further: dict[tuple[int, BlockMask], Further],
    ) -> RegionAnswer:
        low, sizes = batch.found[0][number], batch.sizes[number]
        if not mask.count:
            return RegionAnswer(low, int(sizes[0]), 0.0)
        all_blocks = Further(batch.found[-1][number], int(sizes[1:].sum()))
        more = all_blocks if mask.everything else further[number, mask]
        return RegionAnswer(joined(low, more.found, point), int(sizes[0]) + more.sent, mask.share)

    def _further(self, batch: Coded, wanted: Sequence[tuple[int, BlockMask]]) -> list[Further]:
        """High's answers to pictures of which all layers of some blocks are known."""
        found: list[Detections] = []
        for at in range(0, len(wanted), BATCH):
            some = wanted[at : at + BATCH]
            x = torch.stack([self._known(batch.values[i], mask) for i, mask in some])
            with torch.inference_mode():
                found += run(self.detector, x, batch.extents[[i for i, _ in some]])
        sent = [self._bytes(batch.values[i], mask) for i, mask in wanted]
        return [Further(*pair) for pair in zip(found, sent, strict=True)]

    def _known(self, values: Tensor, mask: BlockMask) -> Tensor:
        """What a decoder restores of coefficients int16[C, h, w], float32[C, h, w]."""
        layers = len(self.profile.ladder)
        known = known_values(values.numpy(), self.profile, layers, (None, *[mask] * (layers - 1)))
        steps = torch.from_numpy(self.profile.known_steps(self.quality, layers))
        return torch.from_numpy(known) * steps[:, None, None]

    def _bytes(self, values: Tensor, mask: BlockMask) -> int:
        """Bytes of the layers after the first one, of which the first payload is not needed."""
        image = Encoded((b"",), self.quality, values.numpy())
        return encode_region(image, self.profile, mask).size


def _partial(mask: BlockMask) -> bool:
    return bool(mask.count) and not mask.everything


def missed(answer: Detections, full: Detections, shown: float) -> float:
    """Of the things in the full answer, the share that an answer misses; 0 if there are none. See `DetectionPoint`."""
    things, mine = full.above(shown), answer.above(shown)
    if not len(things):
        return 0.0
    hits = (box_iou(things.boxes, mine.boxes) >= FOUND) & (things.labels[:, None] == mine.labels)
    return float((~hits.any(1)).float().mean())


@dataclass(frozen=True)
class Measured:
    """What m operating points do to n pictures.

    Attributes:
        missed: the share of each picture's things that is missed, float64[m, n].
        sent: payload bytes, int64[m, n].
        shares: of each picture's blocks that are asked for, float64[m, n].
    """

    missed: NDArray[np.float64]
    sent: NDArray[np.int64]
    shares: NDArray[np.float64]


def measure_points(
    cascade: RegionCascade, batches: Sequence[Coded], points: Sequence[DetectionPoint]
) -> Measured:
    """What points do to the pictures of some batches."""
    shape = len(points), sum(len(batch.values) for batch in batches)
    found = Measured(np.zeros(shape), np.zeros(shape, np.int64), np.zeros(shape))
    number = 0
    for batch in batches:
        for answers, full in zip(cascade.answers(batch, points), batch.found[-1], strict=True):
            for place, (answer, point) in enumerate(zip(answers, points, strict=True)):
                found.missed[place, number] = missed(answer.found, full, point.shown)
                found.sent[place, number] = answer.sent
                found.shares[place, number] = answer.share
            number += 1
    return found
