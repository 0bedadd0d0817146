"""The task of a detector: an answer is final once no box is in doubt; else further layers of its blocks are wanted."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from overtone.frequency import BlockMask, Decoded, LetterBox
from overtone.gpu_server.answer import Answer, Detection, Mask, Options, Score, TaskName
from overtone.gpu_server.decoded_image import DecodedImage
from overtone.gpu_server.engine.inference import Inference
from overtone.gpu_server.tasks.detection_rows import read_row, trimmed
from overtone.gpu_server.tasks.run_lengths import run_lengths
from overtone.gpu_server.tasks.task import Task, Verdict
from overtone.models.detection.card import DetectorCard
from overtone.models.detection.detections import Detections
from overtone.models.detection.operating_point import DetectionPoint
from overtone.models.detection.regions import blocks_in_doubt, joined

# The least intersection over union of two boxes that are of the same object.
SAME_OBJECT_IOU = 0.5


class DetectionTask(Task[DetectionPoint]):
    """A network's row is that of `detection_rows`.

    Args:
        card: of the model.
        model: the name under which it is served.
    """

    name: ClassVar[TaskName] = "detect"
    letter_boxed: ClassVar[bool] = True
    # Packing a block mask takes some milliseconds, and so does the mask of a large object.
    slow: ClassVar[bool] = True

    def __init__(self, card: DetectorCard, model: str) -> None:
        super().__init__(model, card.profile)
        self._card = card

    @property
    def hint(self) -> str:
        """How to have objects detected."""
        return "send the whole picture in a letter box, over REST to /v1/detect"

    def judge(self, layers: int, inference: Inference, options: Options) -> Verdict:
        """The answer is final after all layers, or if no box is in doubt; else blocks of doubtful boxes are wanted."""
        image, size = inference.image, self.profile.size
        point = self.point(options, image.decoded.quality)
        where = image.letter_box or LetterBox(size, size, size)
        found = read_row(inference.row).within(*where.extent)
        low, answer = self._first(image, found, where), found
        if low is not None and self._by_high(image):
            answer = joined(low, found, point)
        shown = self._shown(answer.above(point.shown), where)
        wanted = None if low is None else blocks_in_doubt(low, point, self.profile.blocks, where.extent)
        if layers == len(self.profile.ladder):
            return Verdict(layers, _suffices(image.decoded, wanted), detections=shown)
        if wanted is not None and not wanted.count:
            return Verdict(layers, True, detections=shown)
        return Verdict(len(self.profile.ladder), False, detections=shown, blocks=_packed(wanted))

    def _by_high(self, image: DecodedImage) -> bool:
        return len(image.decoded.values) > len(self.profile.low)

    def _first(self, image: DecodedImage, found: Detections, where: LetterBox) -> Detections | None:
        """What the low network found in the first layer; None if that is lost. It decides which blocks are wanted."""
        if image.first_row is not None:
            return read_row(image.first_row).within(*where.extent)
        return None if self._by_high(image) else found

    def agree(self, one: Answer, other: Answer) -> bool:
        """Whether both found the same objects: for each there is one of the same class that overlaps by half."""
        left = list(other.detections)
        for found in one.detections:
            same = [i for i, each in enumerate(left) if _same(found, each)]
            if not same:
                return False
            del left[same[0]]
        return not left

    def remember(self, image: DecodedImage, row: NDArray[np.float32]) -> DecodedImage:
        """The image with the low network's row after the first layer; rows after finer low values do not replace it."""
        return image if image.first_row is not None else replace(image, first_row=trimmed(row))

    def exit_share(self, options: Options, quality: int | None) -> float | None:
        """The share of pictures for which no further blocks are wanted."""
        share = self.point(options, quality).escalation_share
        return None if share is None else 1 - share

    def _shown(self, found: Detections, where: LetterBox) -> tuple[Detection, ...]:
        """Detections with boxes as fractions of the picture."""
        boxes = where.to_picture(found.boxes.numpy())
        masks = _masks(found, where) if found.masks is not None else [None] * len(found)
        objects = zip(found.labels.tolist(), found.scores.tolist(), boxes.tolist(), masks, strict=True)
        return tuple(
            Detection(Score(label, self.profile.labels[label], score), (left, top, right, bottom), mask)
            for label, score, (left, top, right, bottom), mask in objects
        )

    def _find(self, name: str | None, quality: int | None) -> DetectionPoint:
        return self._card.point(name, quality)


def _suffices(decoded: Decoded, wanted: BlockMask | None) -> bool:
    """Whether all layers have arrived of all wanted blocks, or of all blocks."""
    return decoded.mask is None or (wanted is not None and decoded.mask.covers(wanted))


def _packed(wanted: BlockMask | None) -> bytes:
    """The wanted blocks as bytes; empty if all are wanted, or if it is unknown which."""
    return b"" if wanted is None or wanted.everything else wanted.pack()


def _masks(found: Detections, where: LetterBox) -> list[Mask]:
    """Masks at the size in pixels that the picture has inside the square."""
    width, height = where.content
    bitmaps = found.bitmaps(where.size, where.size)[:, :height, :width].numpy()
    return [Mask(width, height, run_lengths(bitmap)) for bitmap in bitmaps]


def _same(one: Detection, other: Detection) -> bool:
    if one.score.index != other.score.index:
        return False
    a, b = np.array(one.box), np.array(other.box)
    shared = _area(np.concatenate([np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])]))
    return shared >= SAME_OBJECT_IOU * (_area(a) + _area(b) - shared)


def _area(box: NDArray[np.float64]) -> float:
    return float(np.prod(np.maximum(box[2:] - box[:2], 0)))
