"""Baselines for detection: a picture sent as JPEG, WebP or AVIF, once, or twice with the second in regions alone.

The second is that of DDS (Du et al., SIGCOMM 2020): a coarse picture; then, where the server's detector is in
doubt, the doubtful regions again in fine quality. Here the fine picture is neutral grey outside of the regions, which
codecs code in few bytes, and the detector reads it pasted into the coarse one, which the original does not. The server
says with a block mask where it is in doubt, as Overtone's does.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from overtone.benchmarks.curve.baselines import QUALITIES, Codec, Pixels, Setting, decoded, encoded
from overtone.benchmarks.curve.container import picture_bytes
from overtone.benchmarks.detect.evaluation import Evaluation
from overtone.benchmarks.detect.matches import Bools
from overtone.benchmarks.detect.ours import doubt
from overtone.benchmarks.detect.outcome import FlatDetections, Outcome, Sent
from overtone.frequency import BlockMask, LetterBox, open_rgb
from overtone.frequency.letter_box import NEUTRAL
from overtone.models.detection.detections import Detections
from overtone.models.detection.detector import PixelDetector
from overtone.models.detection.operating_point import NEVER, DetectionPoint
from overtone.models.detection.regions import in_doubt, joined
from overtone.training.detection.pictures import Pictures
from overtone.training.detection.predictions import BATCH

AGAIN = "regions sent again"
CODECS: tuple[Codec, ...] = ("jpeg", "webp", "avif")
# Longest sides of pictures that are sent, as shares of the detector's square.
SIDES = (0.4, 0.55, 0.75, 1.0)
# Pairs are made of the first FIRSTS and the last SECONDS settings of a frontier, and of these (unsure, sure).
FIRSTS, SECONDS = 3, 3
RULES = ((0.1, NEVER), (0.1, 0.8), (0.2, 0.8))


@dataclass(frozen=True)
class Pair:
    """A coarse picture first, and the regions in doubt in fine quality."""

    first: Setting
    second: Setting
    rule: DetectionPoint

    @property
    def family(self) -> str:
        """One name for all pairs."""
        return AGAIN

    @property
    def document(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"first": self.first.document, "second": self.second.document} | doubt(self.rule)


def settings(size: int, fast: bool = False) -> list[Setting]:
    """All settings for a whole picture that are tried; if `fast`, every other quality, from the best down."""
    sides = [round(share * size) for share in SIDES]
    return [
        Setting(codec, side, quality)
        for codec in CODECS
        for side in sides
        for quality in (QUALITIES[codec][::-2] if fast else QUALITIES[codec])
    ]


def pairs(curve: Sequence[Setting]) -> list[Pair]:
    """Pairs of settings on a frontier: the coarsest first, the finest again."""
    rules = [DetectionPoint(name="tried", unsure=unsure, sure=sure) for unsure, sure in RULES]
    return [
        Pair(curve[i], curve[j], rule)
        for i, j, rule in product(
            range(min(FIRSTS, len(curve))), range(max(0, len(curve) - SECONDS), len(curve)), rules
        )
        if i < j
    ]


@dataclass(frozen=True)
class Received:
    """A picture as the server has it after a message, and the message's bytes.

    Attributes:
        square: the decoded picture in the detector's square, uint8[size, size, 3].
        bytes, bare: of the image file, and without its container.
        mask: bytes of the block mask that asked for it; 0 for none.
        blocks: share of the blocks that the file has in it.
    """

    square: Pixels
    bytes: int
    bare: int
    mask: int = 0
    blocks: float = 1.0


class RivalEvaluation(Evaluation[Setting | Pair]):
    """A detector on pixels, which sees pictures as codecs transmit them; threads encode and decode."""

    def __init__(
        self,
        detector: PixelDetector,
        size: int,
        pictures: Pictures,
        folder: Path,
        name: str,
        workers: int = 0,
    ) -> None:
        super().__init__(pictures, size, folder, name)
        self._detector, self._workers = detector, workers

    def measure(self, way: Setting | Pair, begin: int, end: int) -> Outcome:
        """The outcome of a way on the pictures from `begin` to `end`."""
        if isinstance(way, Setting):
            return self._once(way, self.part(begin, end))
        return self._again(way, self.piece(way.first, begin, end))

    def _once(self, setting: Setting, pictures: Pictures) -> Outcome:
        """Every picture sent as a whole."""
        sender = Sender(pictures, self.size)
        received, found = self._detected(range(len(pictures)), pictures, lambda i: sender.whole(i, setting))
        sizes, bare = (np.array([getattr(a, name) for a in received], np.int64) for name in ("bytes", "bare"))
        none = np.zeros_like(sizes)
        return Outcome(
            pictures, self.size, Sent(sizes, none, bare, none, np.ones(len(sizes))), FlatDetections.of(found)
        )

    def _again(self, pair: Pair, first: Outcome) -> Outcome:
        """The regions in doubt sent again, given the answers to the coarse pictures."""
        sender, found = Sender(first.pictures, self.size), first.found.detections()
        doubts = [in_doubt(low, pair.rule).boxes.double().numpy() for low in found]
        asked = [i for i, boxes in enumerate(doubts) if len(boxes)]
        received, answers = self._detected(
            asked, first.pictures, lambda i: sender.composed(i, pair, doubts[i])
        )
        more, mask = np.zeros_like(first.sent.more), np.zeros_like(first.sent.mask)
        bare, blocks = first.sent.bare.copy(), np.zeros(len(found))
        for i, came, high in zip(asked, received, answers, strict=True):
            found[i] = joined(found[i], high, pair.rule)
            more[i], mask[i], blocks[i] = came.bytes, came.mask, came.blocks
            bare[i] += came.bare
        sent = Sent(first.sent.first, more, bare, mask, blocks)
        return Outcome(first.pictures, self.size, sent, FlatDetections.of(found))

    @torch.inference_mode()
    def _detected(
        self, numbers: Sequence[int], pictures: Pictures, sent: Callable[[int], Received]
    ) -> tuple[list[Received], list[Detections]]:
        """Send the pictures of these numbers with `sent`, and run the detector on what the server has of each."""
        device, found = next(self._detector.parameters()).device, list[Detections]()
        # Pillow's codecs run without the interpreter's lock.
        with ThreadPoolExecutor(max(1, self._workers)) as threads:
            coming = threads.map(sent, numbers)
            received = list[Received]()
            for at in range(0, len(numbers), BATCH):
                indices = numbers[at : at + BATCH]
                batch = [next(coming) for _ in indices]
                rgb = np.stack([each.square for each in batch]).transpose(0, 3, 1, 2)
                x = torch.from_numpy(rgb.copy()).to(device).float()
                sizes = [(pictures.things[i].width, pictures.things[i].height) for i in indices]
                extents = torch.tensor([LetterBox(self.size, *each).extent for each in sizes])
                answers = self._detector(x.contiguous(memory_format=torch.channels_last), extents)
                found += [Detections(d.boxes.cpu(), d.labels.cpu(), d.scores.cpu()) for d in answers]
                received += batch
        return received, found


@dataclass(frozen=True)
class Sender:
    """Pictures, sent to a detector that reads squares of `size` pixels."""

    pictures: Pictures
    size: int

    def whole(self, number: int, setting: Setting) -> Received:
        """A picture sent as a whole."""
        file = encoded(self._shrunk(number, setting.side), setting)
        return Received(self._placed(number, decoded(file)), len(file), picture_bytes(file))

    def composed(self, number: int, pair: Pair, boxes: NDArray[np.float64]) -> Received:
        """The coarse picture with the regions of boxes, given as fractions of the square, in fine quality."""
        fine = self._shrunk(number, pair.second.side)
        mask = self._mask(number, boxes, fine.shape[1], fine.shape[0], pair.rule.margin)
        region = _in_pixels(mask.blocks, fine.shape)
        file = encoded(np.where(region, fine, np.uint8(NEUTRAL)), pair.second)
        coarse = decoded(encoded(self._shrunk(number, pair.first.side), pair.first))
        under = np.asarray(Image.fromarray(coarse).resize(fine.shape[1::-1], Image.Resampling.BICUBIC))
        square = self._placed(number, np.where(region, decoded(file), under))
        return Received(square, len(file), picture_bytes(file), len(mask.pack()), mask.share)

    def _mask(
        self, number: int, boxes: NDArray[np.float64], width: int, height: int, margin: int
    ) -> BlockMask:
        """The blocks of 8x8 pixels, in a picture of this size, that boxes touch and a margin of blocks around them."""
        things = self.pictures.things[number]
        inside = LetterBox(self.size, things.width, things.height).to_picture(boxes)
        shape = -(-height // 8), -(-width // 8)
        scale = np.array([width / (8 * shape[1]), height / (8 * shape[0])] * 2)
        return BlockMask.covering(inside * scale, shape, margin)

    def _shrunk(self, number: int, side: int) -> Pixels:
        """The picture scaled to the longest side `side`, as it is sent."""
        image = open_rgb(self.pictures.paths[number])
        content = LetterBox(side, *image.size).content
        return np.asarray(image.resize(content, Image.Resampling.BICUBIC))

    def _placed(self, number: int, rgb: Pixels) -> Pixels:
        """A decoded picture in the detector's square uint8[size, size, 3]."""
        things = self.pictures.things[number]
        width, height = LetterBox(self.size, things.width, things.height).content
        square = np.full((self.size, self.size, 3), NEUTRAL, np.uint8)
        square[:height, :width] = np.asarray(
            Image.fromarray(rgb).resize((width, height), Image.Resampling.LANCZOS)
        )
        return square


def _in_pixels(blocks: Bools, shape: tuple[int, ...]) -> Bools:
    """A mask of 8x8 blocks as one of pixels, bool[height, width, 1] for an image of this shape."""
    return np.repeat(np.repeat(blocks, 8, axis=0), 8, axis=1)[: shape[0], : shape[1], None]
