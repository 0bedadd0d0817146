"""Our operators against torchvision's RoIAlign in Python, and against the definition of suppression."""

import importlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from overtone.models.detection.operators import nms, roi_align

oracle = importlib.import_module("torchvision.ops.roi_align")._roi_align.__wrapped__


def regions(count: int, images: int, side: float, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, 2, generator=generator).sort(dim=1).values.flatten(1) * side
    return torch.cat([torch.randint(images, (count, 1), generator=generator), corners], dim=1)


@pytest.mark.parametrize("ratio", [-1, 1, 2])
@pytest.mark.parametrize("aligned", [False, True])
def test_bins_and_their_gradients_are_those_of_torchvision(ratio: int, aligned: bool) -> None:
    torch.manual_seed(0)
    maps = torch.randn(2, 3, 9, 12, requires_grad=True)
    rois = regions(11, 2, 72, seed=1)
    found = roi_align(maps, rois, 1 / 8, 3, 4, ratio, aligned)
    expected = oracle(maps, rois, 1 / 8, 3, 4, ratio, aligned)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    weight = torch.randn_like(found)
    ours, theirs = (torch.autograd.grad((y * weight).sum(), maps)[0] for y in (found, expected))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_points_far_outside_are_zero_and_no_regions_are_no_bins() -> None:
    maps = torch.ones(1, 2, 4, 4)
    assert not roi_align(maps, torch.tensor([[0.0, 20, 20, 30, 30]]), 1.0, 2, 2, 2, False).any()
    assert roi_align(maps, torch.zeros(0, 5), 1.0, 2, 2, 2, False).shape == (0, 2, 2, 2)
    assert (
        roi_align(torch.ones(1, 2, 1, 1), torch.tensor([[0.0, 0, 0, 1, 1]]), 1.0, 1, 1, 2, False).eq(1).all()
    )


def overlap(a: Tensor, b: Tensor) -> float:
    sides = (torch.minimum(a[2:], b[2:]) - torch.maximum(a[:2], b[:2])).clamp(min=0)
    shared, areas = sides.prod(), [(x[2:] - x[:2]).prod() for x in (a, b)]
    return float(shared / (sum(areas) - shared))


@given(st.integers(0, 10_000), st.integers(0, 30), st.sampled_from([0.3, 0.5, 0.7]))
@settings(max_examples=25, deadline=None)
def test_a_box_is_kept_unless_a_better_kept_one_overlaps_it(seed: int, count: int, threshold: float) -> None:
    boxes = regions(count, 1, 20, seed)[:, 1:] + torch.tensor([0.0, 0, 3, 3])
    scores = torch.rand(count, generator=torch.Generator().manual_seed(seed))
    kept: list[int] = []
    for i in scores.argsort(descending=True).tolist():
        if all(overlap(boxes[i], boxes[j]) <= threshold for j in kept):
            kept.append(i)
    assert nms(boxes, scores, threshold).tolist() == kept
    assert torch.ops.torchvision.nms(boxes, scores, threshold).tolist() == kept
