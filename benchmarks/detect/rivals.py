"""What a device could send without Overtone: a picture as JPEG, WebP or AVIF, or one of them twice.

The second way is that of DDS (Du et al., SIGCOMM 2020): a coarse picture; then, where the server's detector is in
doubt, the doubtful regions again in fine quality. Here the fine picture is neutral grey outside of the regions, which
codecs code in few bytes, and the detector reads it pasted into the coarse one, which the original does not.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from overtone.benchmarks.curve.baselines import Pixels, Setting, send
from overtone.frequency import BlockMask, LetterBox, open_rgb
from overtone.frequency.letter_box import NEUTRAL
from overtone.models.detection.detections import Detections
from overtone.models.detection.detector import PixelDetector
from overtone.models.detection.operating_point import DetectionPoint
from overtone.models.detection.regions import in_doubt, joined
from overtone.training.detection.average_precision import measure
from overtone.training.detection.pictures import Pictures
from overtone.training.detection.predictions import BATCH, in_pictures
from overtone.training.progress import tracked


@dataclass(frozen=True)
class Answers:
    """Bytes int64[n] of pictures, and what a detector says of them; boxes are fractions of its square."""

    sent: NDArray[np.int64]
    found: list[Detections]


@dataclass(frozen=True)
class Pair:
    """A coarse picture first, and the regions in doubt in fine quality."""

    first: Setting
    second: Setting
    rule: DetectionPoint

    @property
    def document(self) -> dict[str, Any]:
        """Plain values for JSON."""
        doubt = {"unsure": self.rule.unsure, "sure": self.rule.sure, "margin": self.rule.margin}
        return {"first": self.first.document, "second": self.second.document} | doubt


@dataclass(frozen=True)
class Rival:
    """A detector on pixels, in front of which pictures are sent."""

    detector: PixelDetector
    size: int
    pictures: Pictures

    def once(self, setting: Setting) -> Answers:
        """Every picture sent as a whole."""
        sent = [send(self._shrunk(i, setting.side), setting) for i in range(len(self.pictures))]
        squares = (self._placed(i, decoded) for i, (_, decoded) in enumerate(sent))
        return Answers(np.array([size for size, _ in sent]), self._detected(squares, range(len(sent))))

    def again(self, pair: Pair, first: Answers) -> Answers:
        """The regions in doubt sent again, given the answers to the coarse pictures."""
        sent, found, squares, asked = first.sent.copy(), list(first.found), list[Pixels](), list[int]()
        for i, low in enumerate(first.found):
            doubtful = in_doubt(low, pair.rule).boxes.double().cpu().numpy()
            if len(doubtful):
                size, square = self._composed(i, pair, doubtful)
                sent[i] += size
                squares.append(square)
                asked.append(i)
        for i, high in zip(asked, self._detected(squares, asked), strict=True):
            found[i] = joined(first.found[i], high, pair.rule)
        return Answers(sent, found)

    def ap50(self, answers: Answers) -> float:
        """Their AP50."""
        return measure(self.pictures, in_pictures(answers.found, self.pictures, self.size)).ap50

    def _composed(self, number: int, pair: Pair, boxes: NDArray[np.float64]) -> tuple[int, Pixels]:
        """Bytes of the regions in fine quality, and the square in which they lie on the coarse picture."""
        fine = self._shrunk(number, pair.second.side)
        region = self._region(number, boxes, fine.shape[1], fine.shape[0], pair.rule.margin)
        masked = np.where(region[..., None], fine, np.uint8(NEUTRAL))
        size, decoded = send(masked, pair.second)
        _, coarse = send(self._shrunk(number, pair.first.side), pair.first)
        under = np.asarray(Image.fromarray(coarse).resize(fine.shape[1::-1], Image.Resampling.BICUBIC))
        return size, self._placed(number, np.where(region[..., None], decoded, under))

    def _region(
        self, number: int, boxes: NDArray[np.float64], width: int, height: int, margin: int
    ) -> NDArray[np.bool_]:
        """Blocks of 8x8 pixels of a picture of this size that boxes in the square touch, bool[height, width]."""
        things = self.pictures.things[number]
        inside = LetterBox(self.size, things.width, things.height).to_picture(boxes)
        shape = -(-height // 8), -(-width // 8)
        scale = np.array([width / (8 * shape[1]), height / (8 * shape[0])] * 2)
        blocks = BlockMask.covering(inside * scale, shape, margin).blocks
        return np.repeat(np.repeat(blocks, 8, axis=0), 8, axis=1)[:height, :width]

    def _shrunk(self, number: int, side: int) -> Pixels:
        """A picture whose longest side is this, as it is sent."""
        image = open_rgb(self.pictures.paths[number])
        content = LetterBox(side, *image.size).content
        return np.asarray(image.resize(content, Image.Resampling.BICUBIC))

    def _placed(self, number: int, decoded: Pixels) -> Pixels:
        """A decoded picture in the detector's square uint8[size, size, 3]."""
        things = self.pictures.things[number]
        width, height = LetterBox(self.size, things.width, things.height).content
        square = np.full((self.size, self.size, 3), NEUTRAL, np.uint8)
        square[:height, :width] = np.asarray(
            Image.fromarray(decoded).resize((width, height), Image.Resampling.LANCZOS)
        )
        return square

    @torch.inference_mode()
    def _detected(
        self, squares: Iterator[Pixels] | Sequence[Pixels], numbers: Sequence[int]
    ) -> list[Detections]:
        """What the detector says of squares, which are those of the pictures of these numbers."""
        device, given, found = next(self.detector.parameters()).device, iter(squares), list[Detections]()
        for at in tracked(range(0, len(numbers), BATCH), "detecting"):
            some = numbers[at : at + BATCH]
            rgb = np.stack([next(given) for _ in some]).transpose(0, 3, 1, 2)
            x = torch.from_numpy(rgb.copy()).to(device).float().contiguous(memory_format=torch.channels_last)
            sizes = [(self.pictures.things[i].width, self.pictures.things[i].height) for i in some]
            extents = torch.tensor([LetterBox(self.size, *each).extent for each in sizes])
            found += self.detector(x, extents)
        return found
