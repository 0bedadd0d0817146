"""AP50 by our own few lines, against pycocotools."""

from pathlib import Path

import numpy as np
import pytest
import torch

from overtone.benchmarks.detect.matches import Matches
from overtone.models.detection.detections import Detections
from overtone.training.detection.average_precision import coco
from overtone.training.detection.pictures import Pictures, Things

CLASSES = ("red", "green", "blue")
Scene = tuple[Things, Detections]


def scene(rng: np.random.Generator) -> Scene:
    """A few things, some of them crowds, and detections: near things, twice, of another class, and of nothing."""
    count = int(rng.integers(0, 6))
    corner, side = rng.uniform(0, 0.6, (count, 2)), rng.uniform(0.1, 0.4, (count, 2))
    boxes, labels = np.hstack([corner, corner + side]), rng.integers(0, 2, count)
    width, height = (int(n) for n in rng.integers(60, 200, 2))
    areas = side.prod(axis=1) * width * height
    things = Things(width, height, boxes, labels, rng.random(count) < 0.25, areas)
    near = np.repeat(boxes, 3, axis=0)
    near = near + rng.normal(0, 0.04, near.shape) * np.tile(side.repeat(3, axis=0), 2)
    said = np.where(rng.random(3 * count) < 0.8, labels.repeat(3), rng.integers(0, 3, 3 * count))
    stray = rng.uniform(0, 0.5, (2, 2))
    corners = np.clip(np.vstack([near, np.hstack([stray, stray + 0.3])]), 0, 1)
    everything = np.append(said, rng.integers(0, 3, 2))
    # Few different scores, so that pictures have some in common.
    scores = np.sort(rng.choice(np.arange(1, 40), len(corners), replace=False) / 40)[::-1].copy()
    order = rng.permutation(len(corners))
    found = Detections(
        torch.from_numpy(corners[order]).float(),
        torch.from_numpy(everything[order]),
        torch.from_numpy(scores).float(),
    )
    return things, found


def together(scenes: list[Scene]) -> tuple[Pictures, list[Detections]]:
    things, found = zip(*scenes, strict=True)
    return Pictures(tuple(Path(f"{i}.png") for i in range(len(things))), things, CLASSES), list(found)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    rng = np.random.default_rng(11)
    return [scene(rng) for _ in range(30)]


def test_it_is_what_pycocotools_finds(scenes: list[Scene]) -> None:
    for some in (scenes, scenes[:7], scenes[20:]):
        pictures, found = together(some)
        assert 0.1 < (expected := coco(pictures, found, "bbox")["ap50"]) < 0.95
        assert Matches.of(pictures, found).ap50() == pytest.approx([expected], abs=1e-9)


def test_a_picture_that_is_drawn_twice_counts_as_two(scenes: list[Scene]) -> None:
    pictures, found = together(scenes)
    times = np.random.default_rng(3).multinomial(30, np.full(30, 1 / 30), size=3)
    judged = Matches.of(pictures, found).ap50(times)
    for row, value in zip(times, judged, strict=True):
        repeated = together([scenes[i] for i in np.repeat(np.arange(30), row)])
        assert value == pytest.approx(coco(*repeated, "bbox")["ap50"], abs=1e-9)


def test_nothing_found_and_nothing_to_find(scenes: list[Scene]) -> None:
    pictures, found = together(scenes)
    nothing = [each.take(torch.zeros(len(each), dtype=torch.bool)) for each in found]
    assert Matches.of(pictures, nothing).ap50() == [0.0]
    none = Things(9, 9, np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0, np.bool_), np.zeros(0))
    empty = [(none, found[0])]
    assert Matches.of(*together(empty)).ap50() == [-1.0]
