"""The exact cost of the separation (100 classes); that of the papers' other networks is tested with them."""

import pytest
import torch
from torch import nn

from overtone.models import Architecture, ResNetCascade
from overtone.models.cost import cost, macs, parameters


def test_separation_structure_3() -> None:
    with torch.device("meta"):
        model = ResNetCascade(Architecture(classes=100, structure=3))
        found = cost(model, 448)
    assert round(found.parameters / 1e6, 3) == 11.987
    assert round((found.parameters - parameters(model.low_head)) / 1e6, 3) == 11.884
    assert found.low_macs is not None
    assert round(found.low_macs / 1e9, 3) == 0.993
    assert round(found.macs / 1e9, 3) == 2.003
    assert round(found.average(0.68) / 1e9, 3) == 1.316


def test_average_needs_a_cascade() -> None:
    with pytest.raises(ValueError, match="cascade"):
        cost(nn.Conv2d(3, 1, 1), 64).average(0.5)


def test_counting_leaves_no_trace() -> None:
    layer = nn.Linear(3, 4).train()
    assert macs(layer, lambda: layer(torch.zeros(1, 3))) == 12
    assert not layer._forward_hooks
    assert layer.training
