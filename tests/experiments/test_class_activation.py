"""Further layers where a class is seen: the map, and the blocks that are chosen by it."""

import numpy as np
import pytest
import torch

from experiments.class_activation import Activation, centrality, most
from overtone.models import BodyCascade, load


def test_the_map_is_what_the_logits_are_the_mean_of() -> None:
    model, card = load("imagenette-lite")
    assert isinstance(model, BodyCascade)
    activation, low = Activation(model), model.low_network
    x6 = 50 * torch.randn(2, 6, *(2 * [card.profile.blocks]), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        classes, scores = activation(x6)
        logits = low(x6)
        bias = low.network.get_submodule("classifier").get_parameter("bias")
        means = torch.einsum("kc,nchw->nk", activation.weight, activation.map) / activation.map[0, 0].numel()
    assert torch.equal(classes, logits.argmax(1))
    assert torch.allclose(means + bias, logits, atol=1e-4)
    assert scores.shape == (2, card.profile.blocks, card.profile.blocks)


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.25, 4), (1.0, 16)])
def test_the_best_blocks_are_chosen(share: float, count: int) -> None:
    scores = np.arange(16.0).reshape(4, 4)
    mask = most(scores, share)
    assert mask.count == count
    assert scores[mask.blocks].min(initial=16) >= scores[~mask.blocks].max(initial=-1)


def test_the_centre_is_most_central() -> None:
    assert most(centrality(4), 0.25).blocks[1:3, 1:3].all()
