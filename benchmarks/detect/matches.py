"""AP50 of detections that were matched once: cheap enough for hundreds of resamples of the pictures.

It is COCO's AP at an IoU of 0.5: a detection matches the object of its class that it overlaps most, by at least a half
and not matched before; precision is made to fall with recall and read at 101 recalls; all classes have equal weight.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overtone.models.detection.detections import Detections
from overtone.training.detection.pictures import Pictures, Things

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Intersection over union from which a detection matches.
MATCH_IOU = 0.5
# Detections of a class in a picture that count, by falling score.
MOST = 100
RECALLS = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True)
class Matches:
    """All m detections in n pictures by falling score, without those on crowds; and how many objects there are.

    Attributes:
        labels, pictures: each detection's class and the index of its picture, int64[m].
        hits: whether each detection matches an object, bool[m].
        things: how many objects of each class each picture has, without crowds, int64[classes, n].
    """

    labels: Ints
    pictures: Ints
    hits: Bools
    things: Ints

    @classmethod
    def of(cls, pictures: Pictures, found: Sequence[Detections]) -> "Matches":
        """Match detections, one entry for each picture, whose boxes are fractions of the pictures."""
        things = np.zeros((len(pictures.classes), len(pictures)), np.int64)
        scores, rows = [np.zeros(0)], [np.zeros((0, 3), np.int64)]
        for number, (detections, truth) in enumerate(zip(found, pictures.things, strict=True)):
            np.add.at(things[:, number], truth.labels[~truth.crowd], 1)
            for label, own, hits in _by_class(detections, truth):
                scores.append(own)
                rows.append(np.stack([np.full_like(hits, label), np.full_like(hits, number), hits], axis=1))
        order = np.argsort(-np.concatenate(scores), kind="stable")
        labels, numbers, hits = np.concatenate(rows)[order].T
        return cls(labels, numbers, hits.astype(bool), things)

    def ap50(self, times: Ints | None = None) -> Floats:
        """AP50 float64[k] on k samples, in which the pictures occur so many `times`, int64[k, n].

        Without `times`, k is 1: every picture once. A sample without objects has -1.
        """
        times = np.ones((1, self.things.shape[1]), np.int64) if times is None else times
        totals = times @ self.things.T
        each = [self._of_class(label, times, totals[:, label]) for label in range(len(self.things))]
        known, count = totals > 0, (totals > 0).sum(axis=1)
        summed = np.where(known, np.stack(each, axis=1), 0.0).sum(axis=1)
        return np.where(count > 0, summed / np.maximum(count, 1), -1.0)

    def _of_class(self, label: int, times: Ints, totals: Ints) -> Floats:
        """The average precision float64[k] of a class on samples with so many objects of it, int64[k]."""
        mine = self.labels == label
        if not mine.any():
            return np.zeros(len(times))
        each = times[:, self.pictures[mine]]
        right, seen = (each * self.hits[mine]).cumsum(axis=1), each.cumsum(axis=1)
        recall = right / np.maximum(totals, 1)[:, None]
        # The best precision at this recall or a higher one.
        precision = np.maximum.accumulate((right / np.maximum(seen, 1))[:, ::-1], axis=1)[:, ::-1]
        padded = np.pad(precision, ((0, 0), (0, 1)))
        indices = [np.searchsorted(row, RECALLS) for row in recall]
        means = [row[index].mean() for row, index in zip(padded, indices, strict=True)]
        return np.array(means)


def _by_class(found: Detections, truth: Things) -> Iterator[tuple[int, Floats, Ints]]:
    """Of each class detected in a picture: its label, and scores and matches (1 or 0) of detections not on crowds."""
    scale = np.array([truth.width, truth.height] * 2, np.float64)
    boxes, labels = found.boxes.double().numpy() * scale, found.labels.numpy()
    scores = found.scores.double().numpy()
    for label in np.unique(labels):
        order = np.argsort(-scores[labels == label], kind="stable")[:MOST]
        mine = truth.labels == label
        shared = overlaps(boxes[labels == label][order], truth.boxes[mine] * scale, truth.crowd[mine])
        hits = _hits(shared, truth.crowd[mine])
        yield int(label), scores[labels == label][order][hits >= 0], hits[hits >= 0]


def overlaps(boxes: Floats, things: Floats, crowd: Bools) -> Floats:
    """Intersection over union float64[m, n] of m boxes with n objects; with crowds, the box's covered share."""
    least = np.minimum(boxes[:, None, 2:], things[None, :, 2:])
    sides = (least - np.maximum(boxes[:, None, :2], things[None, :, :2])).clip(0)
    areas = [(each[:, 2:] - each[:, :2]).prod(axis=1) for each in (boxes, things)]
    shared = sides.prod(axis=2)
    union = areas[0][:, None] + np.where(crowd, 0.0, areas[1] - shared)
    iou: Floats = shared / np.maximum(union, np.finfo(float).tiny)
    return iou


def _hits(shared: Floats, crowd: Bools) -> Ints:
    """Of detections by falling score, whether each matches an object (1), nothing (0), or a crowd (-1), int64[m]."""
    free, hits = ~crowd, np.zeros(len(shared), np.int64)
    for number, row in enumerate(shared):
        enough = row >= MATCH_IOU
        if (enough & free).any():
            # Of equals COCO takes the last.
            best = len(row) - 1 - int(np.where(enough & free, row, -1.0)[::-1].argmax())
            free[best], hits[number] = False, 1
        elif (enough & crowd).any():
            hits[number] = -1
    return hits
