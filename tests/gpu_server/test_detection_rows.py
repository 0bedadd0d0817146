"""What carries a detector's findings: rows of floats within the server, and run-lengths of masks to devices."""

import numpy as np
import pytest
import torch
from pycocotools import mask as coco

from overtone.gpu_server.tasks.detection_rows import read_row, trimmed, write_rows
from overtone.gpu_server.tasks.run_lengths import run_lengths
from overtone.models.detection.detections import Detections


def things(count: int, side: int = 0) -> Detections:
    generator = torch.Generator().manual_seed(count)
    masks = torch.rand(count, side, side, generator=generator) if side else None
    labels = torch.arange(count) * 1000
    return Detections(torch.rand(count, 4, generator=generator), labels, torch.rand(count), masks)


@pytest.mark.parametrize("side", [0, 4])
def test_rows_hold_what_was_found(side: int) -> None:
    found = [things(count, side) for count in (2, 0, 3)]
    rows = write_rows(found)
    assert rows.dtype == np.float32
    assert rows.shape == (3, 2 + 3 * (6 + side * side))
    for row, expected in zip(rows, found, strict=True):
        assert len(trimmed(row)) == 2 + len(expected) * (6 + side * side)
        for read in (read_row(row), read_row(trimmed(row))):
            assert read.boxes.equal(expected.boxes)
            assert read.labels.equal(expected.labels)
            assert read.scores.equal(expected.scores)
            assert (read.masks is None) == (side == 0)
            if read.masks is not None and expected.masks is not None:
                assert read.masks.equal(expected.masks)


@pytest.mark.parametrize("density", [0.0, 0.02, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(1, 1), (48, 64), (97, 3), (200, 300)])
def test_run_lengths_are_those_of_the_standard(shape: tuple[int, int], density: float) -> None:
    bitmap = np.random.default_rng(3).random(shape) < density
    bitmap[shape[0] // 3 :, : shape[1] // 2] |= density > 0
    expected = coco.encode(np.asfortranarray(bitmap.astype(np.uint8)))
    assert expected["size"] == list(shape)
    assert run_lengths(bitmap) == expected["counts"]
