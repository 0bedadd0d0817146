from pathlib import Path

import pytest
import torch
from torch import nn

from overtone.frequency.channels import HIGH, LOW
from overtone.models import BodyArchitecture, Cascade, build, load
from overtone.models.bodies import Body
from overtone.models.coefficient_stem import FoldedConv
from overtone.models.fusion import fused

LOW_BODY = Body(name="tf_efficientnet_lite0", pixels=2)
HIGH_BODY = Body(name="mobilenetv3_small_100", pixels=4)


@torch.inference_mode()
def test_a_cascade_of_bodies_computes_the_same_without_normalisations_and_decoding() -> None:
    torch.manual_seed(0)
    cascade = build(BodyArchitecture(classes=10, low=LOW_BODY, high=HIGH_BODY)).eval()
    for module in cascade.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    x6, x18 = 50 * torch.randn(2, len(LOW), 16, 16), 20 * torch.randn(2, len(HIGH), 16, 16)
    faster = fused(cascade, (x6, x18))
    modules = list(faster.modules())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in modules)
    assert sum(isinstance(module, FoldedConv) for module in modules) == 2
    for before, now in ((cascade.low(x6)[0], faster.low(x6)[0]), (cascade(x6, x18), faster(x6, x18))):
        torch.testing.assert_close(now, before, rtol=1e-3, atol=1e-3 * float(before.abs().max()))


def test_fusing_leaves_no_normalisation_and_the_same_numbers(tiny_checkpoint: Path) -> None:
    cascade, _ = load(tiny_checkpoint)
    torch.manual_seed(1)
    for module in cascade.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.weight, 0.5, 2)
    example = (20 * torch.randn(2, 6, 8, 8), 20 * torch.randn(2, 18, 8, 8))
    faster = fused(cascade, example)
    assert isinstance(faster, Cascade)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in faster.modules())
    with torch.inference_mode():
        torch.testing.assert_close(faster(*example), cascade(*example), rtol=1e-3, atol=1e-3)


def test_what_changes_the_result_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    class Crossed(nn.Module):
        """Registers its layers in another order than it uses them."""

        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
            self.norm.running_mean = torch.ones(3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.conv(self.norm(x))
            return y

    model = Crossed().eval()
    assert fused(model, (torch.randn(1, 3, 4, 4),)) is model
    assert "could not be fused" in caplog.text
