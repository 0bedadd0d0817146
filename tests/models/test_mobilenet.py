"""MobileNetV2 counted by hand, and against torchvision's."""

import pytest
import torch

from overtone.models.cost import cost
from overtone.models.mobilenet import frequency_mobilenetv2, rgb_mobilenetv2, scaled

# 3x3 convolution of 3 to 32 channels on 112 x 112, and its batch normalisation.
FIRST_PARAMETERS, FIRST_MACS = 27 * 32 + 2 * 32, 112 * 112 * 27 * 32
# What a channel of the first block costs: 3x3 alone with its batch normalisation, then 16 outputs.
CHANNEL_PARAMETERS, CHANNEL_MACS = 9 + 2 + 16, 112 * 112 * (9 + 16)


def test_frequency_variant_drops_the_first_convolution() -> None:
    with torch.device("meta"):
        rgb = cost(rgb_mobilenetv2(), 224)
        of_32 = cost(frequency_mobilenetv2(32), 896, 32)
        of_24 = cost(frequency_mobilenetv2(24), 896, 24)
    assert of_32.parameters == rgb.parameters - FIRST_PARAMETERS
    assert of_32.macs == rgb.macs - FIRST_MACS
    assert of_24.parameters == of_32.parameters - 8 * CHANNEL_PARAMETERS
    assert of_24.macs == of_32.macs - 8 * CHANNEL_MACS


@pytest.mark.parametrize("width", [1.0, 0.5, 1.4])
def test_same_size_as_torchvisions(width: float) -> None:
    from overtone.training.vision import torchvision

    ours, theirs = (
        rgb_mobilenetv2(10, width),
        torchvision().models.mobilenet_v2(num_classes=10, width_mult=width),
    )
    assert sorted(p.shape for p in ours.parameters()) == sorted(p.shape for p in theirs.parameters())
    assert cost(ours, 64).macs == cost(theirs, 64).macs


def test_known_numbers() -> None:
    with torch.device("meta"):
        found = cost(rgb_mobilenetv2(), 224)
    assert found.parameters == 3_504_872
    assert round(found.macs / 1e6) == 301


def test_widths_are_multiples_of_eight_and_lose_at_most_a_tenth() -> None:
    assert [scaled(c) for c in (1, 12, 18, 24, 33)] == [8, 16, 24, 24, 32]
    assert all(scaled(c) % 8 == 0 and scaled(c) >= 0.9 * c for c in range(1, 200))


@pytest.mark.parametrize("side", [8, 20])
def test_maps_of_any_size(side: int) -> None:
    model = frequency_mobilenetv2(24, 10, 0.25).eval()
    assert model(torch.zeros(2, 24, side, side)).shape == (2, 10)
