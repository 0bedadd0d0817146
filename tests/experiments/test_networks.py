"""The papers' networks: every published cost, and training as any other network."""

from pathlib import Path

import pytest
import torch

from experiments.networks import (
    Gate,
    GatedSystem,
    MobileNetV2,
    ResNet50,
    mobilenetv2,
)
from experiments.paper_results import COSTS, PublishedCost
from overtone.frequency.channels import SETS
from overtone.models.cost import cost
from overtone.training.network_configs import NetworkConfig, StartError
from overtone.training.recipe import Recipe
from tests.training.runs import CPU, LAYERS, assert_same, interrupt, recipe, trainer, weights_of

# 3x3 convolution of 3 to 32 channels on 112 x 112, and its batch normalisation.
FIRST_PARAMETERS, FIRST_MACS = 27 * 32 + 2 * 32, 112 * 112 * 27 * 32
# Cost of a channel of the first block: 3x3 alone with its batch normalisation, then 16 outputs.
CHANNEL_PARAMETERS, CHANNEL_MACS = 9 + 2 + 16, 112 * 112 * (9 + 16)


@pytest.mark.parametrize("line", COSTS, ids=lambda line: line.what)
def test_networks_cost_exactly_what_was_published(line: PublishedCost) -> None:
    found = line.network.cost_at(line.classes, line.size)
    counted = round(found.parameters / 1e6, 3), round(found.macs / 1e9, 3)
    assert counted == (line.parameters, line.macs)


def test_the_frequency_mobilenet_has_no_first_convolution() -> None:
    with torch.device("meta"):
        rgb = cost(mobilenetv2(None), 224)
        of_32 = cost(mobilenetv2(32), 896, 32)
        of_24 = cost(mobilenetv2(24), 896, 24)
    assert (rgb.parameters, round(rgb.macs / 1e6)) == (3_504_872, 301)
    assert of_32.parameters == rgb.parameters - FIRST_PARAMETERS
    assert of_32.macs == rgb.macs - FIRST_MACS
    assert of_24.parameters == of_32.parameters - 8 * CHANNEL_PARAMETERS
    assert of_24.macs == of_32.macs - 8 * CHANNEL_MACS
    assert mobilenetv2(24, 10, 0.25).eval()(torch.zeros(2, 24, 20, 20)).shape == (2, 10)


KINDS: dict[str, tuple[NetworkConfig, int]] = {
    "rgb": (ResNet50(input="rgb", width=1 / 16, layers=LAYERS), 64),
    "chosen": (ResNet50(input=(3, 0, 64), width=1 / 16, layers=LAYERS), 64),
    "mobilenet": (MobileNetV2(input=6, width=1 / 8), 160),
    "gate": (Gate(cost=0.5, width=1 / 16, layers=LAYERS), 64),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_trains_and_resumes(kind: str, images: Path, tmp_path: Path) -> None:
    """The noise of the gate and of MobileNet's dropout is drawn again as it was."""
    network, size = KINDS[kind]
    chosen = recipe(network, (2,), size)
    assert Recipe.model_validate_json(chosen.model_dump_json()) == chosen
    before = trainer(chosen, images, tmp_path / "fresh").system.module
    interrupt(chosen, images, tmp_path / "broken", 1)
    trained = weights_of(chosen, images, tmp_path / "whole")
    assert_same(trained, weights_of(chosen, images, tmp_path / "broken"))
    assert not [name for name, value in before.named_parameters() if torch.equal(value, trained[name])]


def test_what_a_network_reads() -> None:
    assert ResNet50(input=24).channels == SETS[24]
    assert ResNet50(input=(5, 3)).channels == (5, 3)
    assert ResNet50(input="rgb").channels is None
    assert (ResNet50(input="rgb").rgb, ResNet50(input=6).rgb) == (True, False)
    wrong: tuple[tuple[object, str], ...] = (
        (25, "named sets"),
        ((0, 0), "different"),
        ((0, 192), "0 to 191"),
    )
    for value, message in wrong:
        with pytest.raises(ValueError, match=message):
            ResNet50.model_validate({"input": value})


def test_a_mobilenet_needs_a_map_to_look_at() -> None:
    with pytest.raises(ValueError, match="more than 128"):
        recipe(MobileNetV2(input=24), (1,), size=128)
    with pytest.raises(StartError, match="cannot start"):
        MobileNetV2(input=24).start("imagenette", CPU)


def test_the_gate_pays_for_open_channels() -> None:
    system = Gate(cost=0.5, width=1 / 16, layers=LAYERS).build(2)
    assert isinstance(system, GatedSystem)
    system.logits(0, torch.randn(2, 192, 8, 8))
    penalty = float(system.penalty().detach())
    assert penalty == pytest.approx(0.5 * float(system.network.open_share.detach()))
    assert penalty > 0
