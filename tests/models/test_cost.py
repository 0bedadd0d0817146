"""Every exact cost of the two papers (100 classes unless said)."""

import pytest
import torch
from torch import nn

from overtone.models.cascade import Architecture, Cascade
from overtone.models.cost import cost, macs, parameters
from overtone.models.resnet import frequency_resnet50, rgb_resnet50


def thousands(count: float) -> float:
    return round(count / 1e6, 3)


def test_rgb_resnet50() -> None:
    found = cost(rgb_resnet50(1000), 224)
    assert thousands(found.parameters) == 25.557
    assert round(found.macs / 1e9, 3) == 4.089


@pytest.mark.parametrize(
    ("channels", "strides", "million", "giga"),
    [
        (24, (1, 2, 2, 2), 23.691, 3.929),
        (6, (1, 2, 2, 2), 23.685, 3.911),
        (24, (1, 1, 2, 2), 23.691, 13.524),
    ],
)
def test_frequency_resnet50(channels: int, strides: tuple[int, ...], million: float, giga: float) -> None:
    found = cost(frequency_resnet50(channels, 100, strides), 448, channels)
    assert thousands(found.parameters) == million
    assert round(found.macs / 1e9, 3) == giga


def test_separation_structure_3() -> None:
    model = Cascade(Architecture(classes=100, structure=3))
    found = cost(model, 448)
    assert thousands(found.parameters) == 11.987
    assert thousands(found.parameters - parameters(model.low_head)) == 11.884
    assert found.low_macs is not None
    assert round(found.low_macs / 1e9, 3) == 0.993
    assert round(found.macs / 1e9, 3) == 2.003
    assert round(found.average(0.68) / 1e9, 3) == 1.316


def test_average_needs_a_cascade() -> None:
    with pytest.raises(ValueError, match="cascade"):
        cost(frequency_resnet50(6, 10, width=0.125), 64, 6).average(0.5)


def test_counting_leaves_no_trace() -> None:
    layer = nn.Linear(3, 4).train()
    assert macs(layer, lambda: layer(torch.zeros(1, 3))) == 12
    assert not layer._forward_hooks
    assert layer.training
