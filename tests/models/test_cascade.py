import pytest
import torch
from pydantic import ValidationError

from overtone.models import Architecture, ResNetCascade

SMALL = {"classes": 5, "low_width": 1 / 16, "high_width": 1 / 16, "stem": 8, "layers": (1, 1, 1, 1)}
VARIANTS = [
    {"structure": 1},
    {"structure": 1, "high_width": 1 / 8},
    {"structure": 2, "fusion": "add"},
    {"structure": 2, "fusion": "add", "stages": (0,)},
    {"structure": 2, "fusion": "concatenate"},
    {"structure": 2, "fusion": "concatenate", "stages": (0, 1)},
    {"structure": 2, "fusion": "concatenate", "stages": (3,), "high_width": 1 / 8},
    {"structure": 3},
    {"structure": 3, "low_width": 1 / 8},
]


def bands() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 6, 8, 8, generator=generator), torch.randn(2, 18, 8, 8, generator=generator)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_structure(variant: dict[str, object]) -> None:
    model = ResNetCascade(Architecture.model_validate(SMALL | variant)).eval()
    x6, x18 = bands()
    with torch.inference_mode():
        logits, state = model.low(x6)
        high = model.high(state, x18)
        assert logits.shape == high.shape == (2, 5)
        torch.testing.assert_close(model(x6, x18), high)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_high_uses_both_bands(variant: dict[str, object]) -> None:
    model = ResNetCascade(Architecture.model_validate(SMALL | variant))
    x6, x18 = (x.requires_grad_() for x in bands())
    # Random scales, or the zero-initialised residual branches hide what flows through them.
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    model(x6, x18).square().sum().backward()
    assert x6.grad is not None
    assert x18.grad is not None
    assert x6.grad.abs().sum() > 0
    assert x18.grad.abs().sum() > 0


@pytest.mark.parametrize("structure", [1, 2, 3])
def test_steps_train_every_part_once(structure: int) -> None:
    model = ResNetCascade(Architecture.model_validate(SMALL | {"structure": structure}))
    first, second = ({id(p) for part in step for p in part.parameters()} for step in model.steps())
    assert first.isdisjoint(second)
    assert first | second == {id(p) for p in model.parameters()}


def test_structure_3_trains_high_first_and_leaves_its_stem_alone() -> None:
    model = ResNetCascade(Architecture.model_validate(SMALL | {"structure": 3}))
    first, second = model.steps()
    assert model.low_stem in first
    assert model.low_stem not in second


def test_maps_of_unequal_width_cannot_be_added() -> None:
    with pytest.raises(ValidationError, match="equal widths"):
        Architecture.model_validate(SMALL | {"structure": 2, "fusion": "add", "high_width": 1 / 8})


def test_normalisation_is_inside() -> None:
    model = ResNetCascade(Architecture.model_validate(SMALL)).eval()
    x6, _ = bands()
    before, _ = model.low(x6)
    model.low_norm.mean.fill_(3.0)
    model.low_norm.std.fill_(2.0)
    after, _ = model.low(x6 * 2 + 3)
    torch.testing.assert_close(before, after)
