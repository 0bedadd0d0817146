"""Run a detector on annotated pictures exactly as device and server do, and count the payload bytes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from overtone.frequency import LetterBox, Profile, letter_boxed
from overtone.frequency.channels import LOW
from overtone.models.detection.detections import Detections
from overtone.models.detection.detector import Detector
from overtone.training.detection.batches import SquareSet
from overtone.training.detection.pictures import Pictures, Things
from overtone.training.evaluation.predictions import EncodedSet, maps
from overtone.training.progress import tracked

BATCH = 16
# From images uint8[N, 3, size, size] and the extents of their pictures float32[N, 2] to their detections.
Run = Callable[[Tensor, Tensor], list[Detections]]


@dataclass(frozen=True)
class AfterLayer:
    """The detections after a layer, one entry for each picture, and the bytes of the layer int64[n]."""

    found: list[Detections]
    sizes: NDArray[np.int64]


@torch.inference_mode()
def predict_squares(run: Run, pictures: Pictures, size: int, workers: int = 0) -> list[Detections]:
    """The detections of whole pictures, with boxes as fractions of the pictures."""
    loader = DataLoader(SquareSet(pictures, size), BATCH, num_workers=workers)
    found: list[Detections] = []
    for rgb, extents in tracked(loader, "detecting"):
        found += run(rgb, extents)
    return in_pictures(found, pictures, size)


@dataclass(frozen=True)
class CodedBatch:
    """A batch of pictures after the codec at one quality, and a detector's answers to them.

    Attributes:
        values: quantised coefficients int16[N, C, h, w] after all layers.
        sizes: bytes of each layer, int64[N, layers].
        extents: width and height of each picture as fractions of the square, float32[N, 2].
        found: the detections after each layer, with boxes as fractions of the square.
    """

    values: Tensor
    sizes: Tensor
    extents: Tensor
    found: tuple[list[Detections], ...]

    def take(self, chosen: list[int]) -> "CodedBatch":
        """The pictures at these indices."""
        found = tuple([layer[i] for i in chosen] for layer in self.found)
        return CodedBatch(self.values[chosen], self.sizes[chosen], self.extents[chosen], found)


def coded_batches(
    detector: Detector, pictures: Pictures, profile: Profile, quality: int, workers: int = 0
) -> Iterator[CodedBatch]:
    """Batches of pictures at one quality, in their order."""
    images = EncodedSet(pictures.images, profile, quality, letter_boxed)
    loader, at = DataLoader(images, BATCH, num_workers=workers), 0
    for values, sizes, _ in tracked(loader, f"quality {quality}"):
        annotations = pictures.things[at : at + len(values)]
        at += len(values)
        extents = torch.tensor([LetterBox(profile.size, t.width, t.height).extent for t in annotations])
        layers = (maps(values, profile, quality, number) for number in range(1, len(profile.ladder) + 1))
        with torch.inference_mode():
            found = tuple(run(detector, x, extents) for x in layers)
        yield CodedBatch(values, sizes, extents, found)


def run(detector: Detector, x: Tensor, extents: Tensor) -> list[Detections]:
    """The detections in dequantised coefficients float32[N, 6, h, w] (low network) or [N, 24, h, w] (high network)."""
    x = x.to(next(detector.parameters()).device).contiguous(memory_format=torch.channels_last)
    return detector.low(x, extents) if x.shape[1] == len(LOW) else detector.high(x, extents)


def after_layers(batches: Sequence[CodedBatch], pictures: Pictures, size: int) -> list[AfterLayer]:
    """The detections after every layer, from all batches of some pictures."""
    sizes = torch.cat([batch.sizes for batch in batches]).numpy().T
    found = ([d for batch in batches for d in batch.found[layer]] for layer in range(len(sizes)))
    return [
        AfterLayer(in_pictures(each, pictures, size), bytes_)
        for each, bytes_ in zip(found, sizes, strict=True)
    ]


def in_pictures(found: list[Detections], pictures: Pictures, size: int) -> list[Detections]:
    """The same detections on the CPU, with boxes as fractions of the pictures."""
    return [_in_picture(d, t, size) for d, t in zip(found, pictures.things, strict=True)]


def _in_picture(found: Detections, things: Things, size: int) -> Detections:
    boxes = LetterBox(size, things.width, things.height).to_picture(found.boxes.double().cpu().numpy())
    masks = None if found.masks is None else found.masks.cpu()
    return replace(
        found,
        boxes=torch.from_numpy(boxes).float(),
        labels=found.labels.cpu(),
        scores=found.scores.cpu(),
        masks=masks,
    )
