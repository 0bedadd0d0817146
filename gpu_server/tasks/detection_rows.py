"""A detector's output for an image as a row of floats, which the engine passes on like a classifier's logits.

A row begins with the number of objects and the side of their masks, 0 if there are none. Left, top, right and bottom,
the class, the score and the mask of each object follow. Zeros after the last object pad rows of a batch to one length.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from overtone.models.detection.detections import Detections

Rows = NDArray[np.float32]
HEAD, OBJECT = 2, 6  # numbers before all objects, and of each object before its mask


def write_rows(found: Sequence[Detections]) -> Rows:
    """Rows float32[N, K], one for each image; K is that of the image with most objects."""
    rows = np.zeros((len(found), max(map(_length, found), default=HEAD)), np.float32)
    for row, each in zip(rows, found, strict=True):
        row[:HEAD] = len(each), _side(each)
        columns = [each.boxes, each.labels[:, None], each.scores[:, None]]
        if each.masks is not None:
            columns.append(each.masks.flatten(1))
        objects = torch.cat([column.float() for column in columns], dim=1)
        row[HEAD : _length(each)] = objects.flatten().cpu().numpy()
    return rows


def read_row(row: Rows) -> Detections:
    """The detections of a row; boxes are fractions of the square image."""
    row, side = trimmed(row), int(row[1])
    objects = torch.from_numpy(row[HEAD:].reshape(int(row[0]), OBJECT + side * side))
    masks = objects[:, OBJECT:].unflatten(1, (side, side)) if side else None
    return Detections(objects[:, :4], objects[:, 4].long(), objects[:, 5], masks)


def trimmed(row: Rows) -> Rows:
    """A copy of a row without its padding."""
    return row[: HEAD + int(row[0]) * (OBJECT + int(row[1]) ** 2)].copy()


def _length(found: Detections) -> int:
    return HEAD + len(found) * (OBJECT + _side(found) ** 2)


def _side(found: Detections) -> int:
    return 0 if found.masks is None else found.masks.shape[-1]
