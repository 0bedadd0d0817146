"""The baseline gives the logits of the high network for an image at half the side, at about the same cost."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from overtone.frequency.channels import BLOCK, HIGH, LOW
from overtone.frequency.dct import LEVEL_SHIFT, RGB_TO_YCC, coefficients, dct_matrix
from overtone.models import Architecture, ResNetCascade, build, cost, load, read_card
from overtone.training.baseline_network import PATCH, SCALE, from_cascade

TINY = Architecture(classes=5, low_width=1 / 16, high_width=1 / 16, stem=8, layers=(1, 1, 1, 1))

LOGS = Path(__file__).parents[2] / "docs" / "runs"


@pytest.fixture(scope="module")
def cascade() -> ResNetCascade:
    """With statistics of its own in every normalisation, so that forgetting one would show."""
    torch.manual_seed(3)
    made = ResNetCascade(TINY)
    for norm in (made.low_norm, made.high_norm):
        norm.mean.uniform_(-50, 50)
        norm.std.uniform_(20, 90)
    x6, x18 = 60 * torch.randn(8, 6, 8, 8), 60 * torch.randn(8, 18, 8, 8)
    with torch.no_grad():
        made.train()(x6, x18)
    return made.eval()


def shrunk(values: NDArray[np.float32]) -> Tensor:
    """The scaled inverse DCT of 24 channels float32[24, h, w]: pixels float32[1, 3, 4h, 4w], unrounded."""
    d, (_, rows, columns) = dct_matrix(PATCH), values.shape
    frequencies = np.zeros((3, PATCH, PATCH, rows, columns))
    for channel, value in zip(LOW + HIGH, values, strict=True):
        component, inner = divmod(channel, BLOCK**2)
        frequencies[(component, *divmod(inner, BLOCK))] = value / SCALE
    ycc = np.einsum("vy,ux,kvuhw->khywx", d, d, frequencies).reshape(3, PATCH * rows, PATCH * columns)
    ycc[0] += LEVEL_SHIFT
    return torch.from_numpy(np.einsum("ck,khw->chw", np.linalg.inv(RGB_TO_YCC), ycc)).float()[None]


def split(values: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    x = torch.from_numpy(values)[None]
    return x[:, : len(LOW)], x[:, len(LOW) :]


def test_scaled_inverse_dct_gives_the_same_logits(
    cascade: ResNetCascade, photograph: NDArray[np.uint8]
) -> None:
    values = coefficients(photograph, LOW + HIGH)
    with torch.inference_mode():
        expected = cascade(*split(values))
        found = from_cascade(cascade)(shrunk(values))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_resampled_image_gives_nearly_the_logits_of_the_bundled_network(
    photograph: NDArray[np.uint8],
) -> None:
    model, _ = load("imagenette")
    image = Image.fromarray(photograph).resize((224, 224), Image.Resampling.BICUBIC)
    small = np.asarray(image.resize((112, 112), Image.Resampling.LANCZOS))
    pixels = torch.from_numpy(small.copy()).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        expected = model(*split(coefficients(np.asarray(image), LOW + HIGH)))
        found = from_cascade(model)(pixels)
    assert torch.corrcoef(torch.cat([found, expected]))[0, 1] > 0.98
    assert found.argmax() == expected.argmax()


def test_costs_about_what_our_network_costs_on_average() -> None:
    card = read_card("imagenette")
    ours = json.loads((LOGS / "evaluate-imagenette.json").read_text("utf-8"))["cascade"]["mean_macs"]
    with torch.device("meta"):
        baseline = from_cascade(build(card.architecture))
        assert 0.9 < cost(baseline, 124).macs / ours < 1.1


def test_is_a_copy(cascade: ResNetCascade) -> None:
    made, before = from_cascade(cascade), cascade.high_head.linear.weight.clone()
    with torch.no_grad():
        made.head.linear.weight.zero_()
    torch.testing.assert_close(cascade.high_head.linear.weight, before)


def test_other_structures_are_refused() -> None:
    with pytest.raises(ValueError, match="structure 1"):
        from_cascade(ResNetCascade(TINY.model_copy(update={"structure": 1})))
