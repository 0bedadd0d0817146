"""A pretrained body on RGB images: the baseline of a cascade of bodies."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from overtone.training import weights
from overtone.training.body_config import RGBBodyConfig
from overtone.training.network_configs import StartError
from overtone.training.recipe import Recipe, load_recipe
from overtone.training.train import train
from tests.training.runs import weights_of
from tests.training.tiny_bodies import HIGH, NAME, recipe, weights_file


def rgb_recipe(file: str = "", epochs: int = 1) -> Recipe:
    network = RGBBodyConfig(body=HIGH, weights=file, dropout=0.3)
    return recipe().model_copy(update={"name": "rgb", "network": network, "epochs": (epochs,)})


def test_it_trains_and_is_read_again(images: Path, tmp_path: Path) -> None:
    path = train(rgb_recipe(), images, tmp_path / "run", workers=0, device="cpu")
    trained = weights.load(path)
    assert (trained.classes, trained.system.channels) == (("cold", "warm"), None)
    with torch.inference_mode():
        assert trained.system.logits(0, torch.full((2, 3, 64, 64), 128.0)).shape == (2, 2)


def test_published_weights_keep_all_but_the_classifier(images: Path, tmp_path: Path) -> None:
    file = weights_file(tmp_path)
    begun = weights_of(rgb_recipe(str(file), epochs=0), images, tmp_path / "run")
    published = load_file(file)
    assert {name.removeprefix("network.") for name in begun} >= set(published)
    for name, value in published.items():
        if "classifier" not in name:
            torch.testing.assert_close(begun[f"network.{name}"], value)
    assert begun["network.classifier.weight"].shape[0] == 2


def test_weights_of_another_network_are_refused(images: Path, tmp_path: Path) -> None:
    file = weights_file(tmp_path)
    network = RGBBodyConfig(body=HIGH.model_copy(update={"name": "mobilenetv3_small_075"}), weights=str(file))
    with pytest.raises(StartError, match="not those of mobilenetv3_small_075"):
        network.pretrained()


def test_dropout_reaches_the_network() -> None:
    module = RGBBodyConfig(body=HIGH, weights="", dropout=0.3).build(3).module
    assert module.network.drop_rate == 0.3  # type: ignore[union-attr]


def test_the_bundled_recipe_has_the_high_body_of_transfer() -> None:
    baseline, ours = load_recipe("baseline-lite"), load_recipe("transfer")
    assert isinstance(baseline.network, RGBBodyConfig)
    assert baseline.network.body == ours.network.high  # type: ignore[attr-defined]
    assert baseline.size == ours.size
    assert baseline.compression is not None
    assert baseline.network.body.name != NAME
