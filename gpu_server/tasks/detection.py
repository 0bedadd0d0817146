"""The task of a detector: what is in a picture and where, once no box is in doubt; else more is asked for there."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from overtone.frequency import BlockMask, Decoded, LetterBox
from overtone.gpu_server.answer import Answer, Detection, Mask, Options, Score, TaskName
from overtone.gpu_server.engine.inference import Inference
from overtone.gpu_server.known import Known
from overtone.gpu_server.tasks.detection_rows import read_row, trimmed
from overtone.gpu_server.tasks.run_lengths import run_lengths
from overtone.gpu_server.tasks.task import Task, Verdict
from overtone.models.detection.card import DetectorCard
from overtone.models.detection.detections import Detections
from overtone.models.detection.operating_point import DetectionPoint
from overtone.models.detection.regions import blocks_in_doubt, joined

# Boxes that overlap by at least this much of what they cover together are of the same thing.
SAME = 0.5


class DetectionTask(Task[DetectionPoint]):
    """Rows are those of `detection_rows`.

    Args:
        card: of the model.
        model: what it is called.
    """

    name: ClassVar[TaskName] = "detect"
    letter_boxed: ClassVar[bool] = True
    # To pack blocks takes some milliseconds, and so does a mask of a large thing.
    slow: ClassVar[bool] = True

    def __init__(self, card: DetectorCard, model: str) -> None:
        super().__init__(model, card.profile)
        self._card = card

    @property
    def instead(self) -> str:
        """Detect."""
        return "send the whole picture in a letter box, over REST to /v1/detect"

    def judge(self, layers: int, inference: Inference, options: Options) -> Verdict:
        """The answer is final after all layers, or if no box is in doubt; else the blocks of those that are count."""
        known, size = inference.known, self.profile.size
        point = self.point(options, known.decoded.quality)
        where = known.letter_box or LetterBox(size, size, size)
        found = read_row(inference.row).within(*where.extent)
        low, answer = self._first(known, found, where), found
        if low is not None and self._by_high(known):
            answer = joined(low, found, point)
        shown = self._shown(answer.above(point.shown), where)
        wanted = None if low is None else blocks_in_doubt(low, point, self.profile.blocks, where.extent)
        if layers == len(self.profile.ladder):
            return Verdict(layers, _suffices(known.decoded, wanted), detections=shown)
        if wanted is not None and not wanted.count:
            return Verdict(layers, True, detections=shown)
        return Verdict(len(self.profile.ladder), False, detections=shown, blocks=_packed(wanted))

    def _by_high(self, known: Known) -> bool:
        return len(known.decoded.values) > len(self.profile.low)

    def _first(self, known: Known, found: Detections, where: LetterBox) -> Detections | None:
        """What low has found in the first layer, if that is known: blocks are asked for after it."""
        if known.first_row is not None:
            return read_row(known.first_row).within(*where.extent)
        return None if self._by_high(known) else found

    def agree(self, one: Answer, other: Answer) -> bool:
        """Whether both have found the same things, which are of one class and overlap."""
        left = list(other.detections)
        for thing in one.detections:
            same = [i for i, each in enumerate(left) if _same(thing, each)]
            if not same:
                return False
            del left[same[0]]
        return not left

    def remember(self, known: Known, row: NDArray[np.float32]) -> Known:
        """What low found in the first layer, whatever it finds once its values are finer."""
        return known if known.first_row is not None else replace(known, first_row=trimmed(row))

    def exit_share(self, options: Options, quality: int | None) -> float | None:
        """The share of pictures of which no blocks are asked for."""
        share = self.point(options, quality).escalation_share
        return None if share is None else 1 - share

    def _shown(self, found: Detections, where: LetterBox) -> tuple[Detection, ...]:
        """What has been found, as fractions of the picture."""
        boxes = where.to_picture(found.boxes.numpy())
        masks = _masks(found, where) if found.masks is not None else [None] * len(found)
        things = zip(found.labels.tolist(), found.scores.tolist(), boxes.tolist(), masks, strict=True)
        return tuple(
            Detection(Score(label, self.profile.labels[label], score), (left, top, right, bottom), mask)
            for label, score, (left, top, right, bottom), mask in things
        )

    def _find(self, name: str | None, quality: int | None) -> DetectionPoint:
        return self._card.point(name, quality)


def _suffices(decoded: Decoded, wanted: BlockMask | None) -> bool:
    """Whether all layers were sent of all blocks that were wanted, or of all that there are."""
    return decoded.mask is None or (wanted is not None and decoded.mask.covers(wanted))


def _packed(wanted: BlockMask | None) -> bytes:
    """What says where more is wanted: nothing if it is everywhere, or if nothing is known of where."""
    return b"" if wanted is None or wanted.everything else wanted.pack()


def _masks(found: Detections, where: LetterBox) -> list[Mask]:
    """Masks of the picture in the pixels in which it lies in the square."""
    width, height = where.content
    bitmaps = found.bitmaps(where.size, where.size)[:, :height, :width].numpy()
    return [Mask(width, height, run_lengths(bitmap)) for bitmap in bitmaps]


def _same(one: Detection, other: Detection) -> bool:
    if one.score.index != other.score.index:
        return False
    a, b = np.array(one.box), np.array(other.box)
    shared = _area(np.concatenate([np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])]))
    return shared >= SAME * (_area(a) + _area(b) - shared)


def _area(box: NDArray[np.float64]) -> float:
    return float(np.prod(np.maximum(box[2:] - box[:2], 0)))
