"""Overtone's side: a detector's checkpoint after its first layer, with regions, and with all layers, by quality."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from overtone.benchmarks.detect.evaluation import Evaluation
from overtone.benchmarks.detect.matches import Ints
from overtone.benchmarks.detect.outcome import FlatDetections, Outcome, Sent
from overtone.frequency import BlockMask, LetterBox, Profile, letter_boxed
from overtone.models.detection.detections import Detections
from overtone.models.detection.detector import Detector
from overtone.models.detection.operating_point import NEVER, DetectionPoint
from overtone.models.detection.regions import blocks_in_doubt
from overtone.training.detection.pictures import Pictures
from overtone.training.detection.predictions import BATCH, CodedBatch, run
from overtone.training.detection.region_answers import RegionCascade
from overtone.training.evaluation.predictions import EncodedSet, maps

Kind = Literal["first layer", "regions", "all layers"]
# Ranges of scores in which a box is in doubt, (unsure, sure): all that are tried, and the fewer with --fast.
DOUBTS = ((0.05, NEVER), (0.1, NEVER), (0.1, 0.8), (0.2, NEVER), (0.2, 0.8), (0.3, 0.6))
FAST_DOUBTS = ((0.1, NEVER), (0.2, 0.8))


@dataclass(frozen=True)
class CascadeWay:
    """A setting of Overtone: the first layer alone, all layers at once, or the first and then the others in regions."""

    kind: Kind
    quality: int
    rule: DetectionPoint | None = None

    @property
    def family(self) -> str:
        """The kind: settings are eliminated in favour of others of the same kind alone."""
        return self.kind

    @property
    def document(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"kind": self.kind, "quality": self.quality} | doubt(self.rule)


def doubt(rule: DetectionPoint | None) -> dict[str, Any]:
    """Which boxes are in doubt, as plain values for JSON."""
    return {} if rule is None else {"unsure": rule.unsure, "sure": rule.sure, "margin": rule.margin}


def ways(profile: Profile, fast: bool = False) -> list[CascadeWay]:
    """All settings that are tried; if `fast`, every other quality, from the finest down, and fewer rules."""
    rules = [
        DetectionPoint(name="tried", unsure=low, sure=high) for low, high in (FAST_DOUBTS if fast else DOUBTS)
    ]
    qualities = profile.qualities[::-2][::-1] if fast else profile.qualities
    return [
        way
        for quality in qualities
        for way in (
            CascadeWay("first layer", quality),
            *(CascadeWay("regions", quality, rule) for rule in rules),
            CascadeWay("all layers", quality),
        )
    ]


class CascadeEvaluation(Evaluation[CascadeWay]):
    """Overtone's detector; each setting runs the one network that it needs, once for each picture."""

    def __init__(
        self,
        detector: Detector,
        profile: Profile,
        pictures: Pictures,
        folder: Path,
        name: str,
        workers: int = 0,
    ) -> None:
        super().__init__(pictures, profile.size, folder, name)
        self._detector, self._profile, self._workers = detector, profile, workers

    def measure(self, way: CascadeWay, begin: int, end: int) -> Outcome:
        """The outcome of a way on the pictures from `begin` to `end`."""
        pictures = self.part(begin, end)
        if way.rule is None:
            layers = 1 if way.kind == "first layer" else len(self._profile.ladder)
            sent, found = self._whole(pictures, way.quality, layers)
        else:
            # Low's answer tells which blocks are in doubt; it is measured as a setting of its own anyway.
            low = self.piece(CascadeWay("first layer", way.quality), begin, end).found
            device = next(self._detector.parameters()).device
            sent, found = self._regions(pictures, way.quality, way.rule, low.detections(device))
        return Outcome(pictures, self.size, sent, FlatDetections.of(found))

    def _whole(self, pictures: Pictures, quality: int, layers: int) -> tuple[Sent, list[Detections]]:
        found, sizes = list[Detections](), list[Tensor]()
        for values, each, extents in self._encoded(pictures, quality):
            found += self._detections(values, extents, quality, layers)
            sizes.append(each[:, :layers].sum(1))
        first = torch.cat(sizes).numpy()
        none = np.zeros_like(first)
        return Sent(first, none, first, none, np.full(len(first), float(layers > 1))), found

    def _regions(
        self, pictures: Pictures, quality: int, rule: DetectionPoint, low: list[Detections]
    ) -> tuple[Sent, list[Detections]]:
        cascade, given = RegionCascade(self._detector, self._profile, quality), iter(low)
        found, columns = list[Detections](), list[Ints]()
        shares = list[float]()
        for values, sizes, extents in self._encoded(pictures, quality):
            own = [next(given) for _ in values]
            masks = [
                blocks_in_doubt(each, rule, self._profile.blocks, (width, height))
                for each, (width, height) in zip(own, extents.tolist(), strict=True)
            ]
            full = self._full(values, extents, quality, own, masks)
            answers = [a for (a,) in cascade.answers(CodedBatch(values, sizes, extents, (own, full)), [rule])]
            found += [answer.found for answer in answers]
            shares += [answer.share for answer in answers]
            first = sizes[:, 0].numpy()
            more = np.array([answer.sent for answer in answers]) - first
            columns.append(np.stack([first, more, first + more, np.array([_packed(m) for m in masks])]))
        firsts, further, totals, packed = np.concatenate(columns, axis=1)
        return Sent(firsts, further, totals, packed, np.array(shares)), found

    def _full(
        self, values: Tensor, extents: Tensor, quality: int, low: list[Detections], masks: list[BlockMask]
    ) -> list[Detections]:
        """High's answers from all layers to pictures of which all blocks are in doubt, and low's to the others."""
        found, whole = list(low), [i for i, mask in enumerate(masks) if mask.everything]
        if whole:
            answers = self._detections(values[whole], extents[whole], quality, len(self._profile.ladder))
            for index, answer in zip(whole, answers, strict=True):
                found[index] = answer
        return found

    def _encoded(self, pictures: Pictures, quality: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Batches of quantised coefficients int16[N, C, h, w], layers' bytes int64[N, layers], extents int64[N, 2]."""
        images = EncodedSet(pictures.images, self._profile, quality, letter_boxed)
        extents = torch.tensor([LetterBox(self.size, t.width, t.height).extent for t in pictures.things])
        loader = DataLoader(images, BATCH, num_workers=self._workers)
        for (values, sizes, _), batch in zip(loader, extents.split(BATCH), strict=True):
            yield values, sizes, batch

    @torch.inference_mode()
    def _detections(self, values: Tensor, extents: Tensor, quality: int, layers: int) -> list[Detections]:
        return run(self._detector, maps(values, self._profile, quality, layers), extents)


def _packed(mask: BlockMask) -> int:
    """Bytes of the mask in a server's message: none if nothing is asked for, or everything."""
    return len(mask.pack()) if mask.count and not mask.everything else 0
