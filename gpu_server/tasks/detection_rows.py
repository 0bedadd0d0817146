"""What a detector says of an image as a row of floats, which goes wherever a classifier's logits go.

A row begins with the number of things and the side of their masks, 0 if there are none. For each thing follow left,
top, right and bottom, its class and score, and its mask. What is behind the last thing only fills up the batch.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from overtone.models.detection.detections import Detections

Rows = NDArray[np.float32]
HEAD, THING = 2, 6


def write_rows(found: Sequence[Detections]) -> Rows:
    """float32[N, K], a row for each image, as long as that of most things."""
    rows = np.zeros((len(found), max(map(_length, found), default=HEAD)), np.float32)
    for row, each in zip(rows, found, strict=True):
        row[:HEAD] = len(each), _side(each)
        columns = [each.boxes, each.labels[:, None], each.scores[:, None]]
        if each.masks is not None:
            columns.append(each.masks.flatten(1))
        things = torch.cat([column.float() for column in columns], dim=1)
        row[HEAD : _length(each)] = things.flatten().cpu().numpy()
    return rows


def read_row(row: Rows) -> Detections:
    """What a row says; boxes are fractions of the square."""
    row, side = trimmed(row), int(row[1])
    things = torch.from_numpy(row[HEAD:].reshape(int(row[0]), THING + side * side))
    masks = things[:, THING:].unflatten(1, (side, side)) if side else None
    return Detections(things[:, :4], things[:, 4].long(), things[:, 5], masks)


def trimmed(row: Rows) -> Rows:
    """A copy of a row without what fills it up."""
    return row[: HEAD + int(row[0]) * (THING + int(row[1]) ** 2)].copy()


def _length(found: Detections) -> int:
    return HEAD + len(found) * (THING + _side(found) ** 2)


def _side(found: Detections) -> int:
    return 0 if found.masks is None else found.masks.shape[-1]
