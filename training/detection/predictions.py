"""What a detector says of pictures, exactly as device and server would have it, and for how many bytes."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from overtone.frequency import LetterBox, Profile, letter_boxed
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


@torch.inference_mode()
def predict(
    detector: Detector, pictures: Pictures, profile: Profile, quality: int, workers: int = 0
) -> list[AfterLayer]:
    """The detections after every layer at one quality."""
    device, split = next(detector.parameters()).device, len(profile.low)
    loader = DataLoader(
        EncodedSet(pictures.images, profile, quality, letter_boxed), BATCH, num_workers=workers
    )
    found: list[list[Detections]] = [[] for _ in profile.ladder]
    sizes, at = [], 0
    for values, sent, _ in tracked(loader, f"quality {quality}"):
        some = pictures.things[at : at + len(values)]
        at += len(values)
        extents = torch.tensor([LetterBox(profile.size, t.width, t.height).extent for t in some])
        for number in range(len(profile.ladder)):
            x = maps(values, profile, quality, number + 1).to(device)
            network = detector.low if x.shape[1] == split else detector.high
            found[number] += network(x.contiguous(memory_format=torch.channels_last), extents)
        sizes.append(sent)
    bytes_of = torch.cat(sizes).numpy().T
    return [
        AfterLayer(in_pictures(each, pictures, profile.size), size)
        for each, size in zip(found, bytes_of, strict=True)
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
