"""Boxes and masks follow the pixels, whatever is done to a scene."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from overtone.frequency.letter_box import NEUTRAL
from overtone.training.detection.augmentation import SceneAugmentation
from overtone.training.detection.scene import Scene


def scene(box: tuple[int, int, int, int] = (10, 6, 34, 22), width: int = 60, height: int = 40) -> Scene:
    """A white rectangle on black."""
    left, top, right, bottom = box
    masks = torch.zeros(1, height, width, dtype=torch.uint8)
    masks[0, top:bottom, left:right] = 1
    return Scene(
        (255 * masks).expand(3, -1, -1).contiguous(),
        torch.tensor([box]).float(),
        torch.tensor([1]),
        torch.tensor([False]),
        masks,
    )


def check(found: Scene, within: float = 1.0) -> None:
    """The box, the mask and the white pixels are in the same place."""
    assert found.masks is not None
    for bitmap in (found.rgb[0] > 190, found.masks[0] > 0):
        rows, columns = bitmap.nonzero().unbind(1)
        seen = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        torch.testing.assert_close(found.boxes[0], seen.float(), atol=within, rtol=0)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.flipped(),
        lambda s: s.flipped().flipped(),
        lambda s: s.cropped(4, 2, 50, 38),
        lambda s: s.cropped(20, 10, 60, 40),
        lambda s: s.resized(90, 50),
        lambda s: s.resized(30, 20).placed(64, 10, 20),
        lambda s: s.letter_boxed(64).placed(64, 0, 21),
    ],
)
def test_boxes_follow_the_pixels(change: Callable[[Scene], Scene]) -> None:
    check(change(scene()))


@given(st.integers(0, 10_000), st.integers(64, 128))
@settings(max_examples=25, deadline=None)
def test_augmented_boxes_follow_the_pixels(seed: int, size: int) -> None:
    augment = SceneAugmentation(crop=0.7, scale=(0.6, 1.0), colour=0.0)
    found = augment(scene(), size, np.random.default_rng(seed))
    assert found.size == (size, size)
    # A crop keeps the middle of a thing, and so a quarter of it.
    assert len(found.boxes) == 1
    check(found, within=2.0)
    target = found.target()
    assert (target.boxes >= 0).all()
    assert (target.boxes <= 1).all()


def test_what_a_crop_leaves_little_of_is_ignored_and_what_it_leaves_nothing_of_is_gone() -> None:
    assert scene().cropped(0, 0, 30, 40).crowd.tolist() == [False]
    assert scene().cropped(0, 0, 14, 40).crowd.tolist() == [True]
    gone = scene().cropped(40, 0, 60, 40)
    assert len(gone.boxes) == len(gone.labels) == 0
    assert gone.masks is not None
    assert gone.letter_boxed(64).placed(64, 0, 0).target().boxes.shape == (0, 4)


def test_what_lies_around_a_scene_is_neutral() -> None:
    placed = scene().placed(80, 5, 9).rgb
    assert (placed[:, :9] == NEUTRAL).all()
    assert (placed[:, :, 65:] == NEUTRAL).all()


def test_a_seed_draws_the_same_view_again() -> None:
    views = [SceneAugmentation()(scene(), 64, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert torch.equal(views[0].rgb, views[1].rgb)
    assert torch.equal(views[0].boxes, views[1].boxes)
    assert not torch.equal(views[0].boxes, views[2].boxes)
