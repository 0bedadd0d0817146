"""Bodies as a recipe's network: what they begin with, and how they are trained."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from overtone.models import load
from overtone.training.imagenet import labels, wordnet_ids
from overtone.training.network_configs import StartError
from overtone.training.optimiser import Optimiser
from overtone.training.recipe import Recipe, RecipeError, load_recipe
from overtone.training.train import train
from tests.training.runs import assert_same, interrupt, trainer, weights_of
from tests.training.tiny_bodies import recipe, weights_file

CLASSIFIERS = {
    f"{part}_network.network.classifier.{leaf}" for part in ("low", "high") for leaf in ("weight", "bias")
}


@pytest.fixture(scope="module")
def checkpoint(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a run of tiny bodies."""
    return train(recipe(), images, tmp_path_factory.mktemp("bodies") / "run", workers=0, device="cpu")


def test_bodies_become_a_certified_checkpoint(checkpoint: Path) -> None:
    model, card = load(checkpoint)
    assert (card.classes, card.origin) == (("cold", "warm"), None)
    assert card.profile.thresholds == (60, 56, 50)
    assert card.profile.steps[1] == (60,) * 6 + (50,) * 18
    assert {p.quality for p in card.operating_points} == {1, 2, 3}
    x6, x18 = torch.zeros(1, 6, 8, 8), torch.zeros(1, 18, 8, 8)
    with torch.inference_mode():
        assert model.low(x6)[0].shape == model(x6, x18).shape == (1, 2)


def test_published_weights_keep_all_but_the_classifier(images: Path, tmp_path: Path) -> None:
    file = weights_file(tmp_path)
    begun = weights_of(recipe(str(file), epochs=(0, 0)), images, tmp_path / "run")
    published = load_file(file)
    for name, value in published.items():
        for part in ("low", "high"):
            if "classifier" not in name:
                torch.testing.assert_close(begun[f"{part}_network.network.{name}"], value)
    fresh = begun["low_network.network.classifier.weight"]
    assert fresh.shape[0] == 2
    assert 0.005 < float(fresh.std()) < 0.02
    assert not begun["high_network.network.classifier.bias"].any()
    assert recipe().network.class_weights(2) == CLASSIFIERS


def test_known_classes_keep_their_classifier(checkpoint: Path, images: Path, tmp_path: Path) -> None:
    renamed = tmp_path / "images" / "train"
    renamed.mkdir(parents=True)
    (renamed / "frozen").symlink_to(images / "train" / "cold")
    (renamed / "warm").symlink_to(images / "train" / "warm")
    chosen = recipe(epochs=(0, 0)).changed(start=str(checkpoint))
    begun, old = weights_of(chosen, renamed.parent, tmp_path / "run"), load(checkpoint)[0].state_dict()
    for name in CLASSIFIERS:
        torch.testing.assert_close(begun[name][1], old[name][1])
        assert not torch.equal(begun[name][0], old[name][0])
    assert_same(
        {k: v for k, v in old.items() if k not in CLASSIFIERS},
        {k: begun[k] for k in old if k not in CLASSIFIERS},
    )


def test_other_bodies_are_refused(checkpoint: Path, images: Path, tmp_path: Path) -> None:
    other = recipe().model_dump()
    other["network"]["low"]["pixels"] = 1
    chosen = Recipe.model_validate(other | {"start": str(checkpoint)})
    with pytest.raises(StartError, match="different network"):
        trainer(chosen, images, tmp_path / "run").run()
    wrong = recipe(str(weights_file(tmp_path))).model_dump()
    wrong["network"]["high"]["name"] = "mobilenetv3_small_075"
    with pytest.raises(StartError, match="not those of mobilenetv3_small_075"):
        trainer(Recipe.model_validate(wrong), images, tmp_path / "other").run()


def test_a_frozen_body_moves_only_classifier_and_norms(images: Path, tmp_path: Path) -> None:
    chosen = recipe(epochs=(2, 0), thaw=0.5, frozen_lr=1e-2)
    seen: list[dict[str, torch.Tensor]] = []

    def keep(_: object) -> None:
        seen.append({k: v.clone() for k, v in network.system.module.named_parameters()})

    network = trainer(chosen, images, tmp_path, keep)
    keep(None)
    network.run()
    moved = [{k for k in a if not torch.equal(a[k], b[k])} for a, b in pairwise(seen)]
    assert "high_network.network.classifier.weight" in moved[0]
    assert all(seen[0][k].ndim == 1 or k in CLASSIFIERS for k in moved[0])
    assert "high_network.network.conv_stem.weight" in moved[1]


class Mad(torch.nn.Module):
    """A teacher whose answers are no numbers."""

    def forward(self, rgb: torch.Tensor) -> torch.Tensor:
        return torch.full((len(rgb), 2), torch.nan)


def test_steps_without_finite_gradients_are_skipped(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = trainer(recipe(), images, tmp_path)
    network.teacher = Mad()
    before = {k: v.clone() for k, v in network.system.module.named_parameters()}
    assert_same(before, dict(network.run().module.named_parameters()))
    assert "2 of 2 batches were skipped" in capsys.readouterr().out


def test_a_resumed_run_is_the_uninterrupted_one(images: Path, tmp_path: Path) -> None:
    """AdamW's state, and a body that is frozen for the first epoch of a step."""
    chosen = recipe(epochs=(2, 1), thaw=0.5, distil=0.4)
    interrupt(chosen, images, tmp_path / "broken", 1)
    whole = weights_of(chosen, images, tmp_path / "whole")
    assert_same(whole, weights_of(chosen, images, tmp_path / "broken"))


def test_adamw_spares_vectors() -> None:
    matrix, vector = torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(2))
    found = Optimiser(kind="adamw", lr=1e-3, weight_decay=0.1).build([vector, matrix])
    decays = {id(p): group["weight_decay"] for group in found.param_groups for p in group["params"]}
    assert decays == {id(matrix): 0.1, id(vector): 0.0}


def test_rates_of_a_frozen_body() -> None:
    o = Optimiser(lr=1e-3, warmup=0, thaw=0.25, frozen_lr=1e-2)
    rates = [o.rate(epoch, 4) for epoch in range(4)]
    assert rates[:2] == [1e-2, 1e-3]
    assert rates[3] == pytest.approx(1e-3 * 0.25)


def test_bundled_recipes_name_the_bodies_of_the_bundled_checkpoints() -> None:
    for name in ("transfer", "adapt"):
        chosen = load_recipe(name)
        assert len(chosen.quality.rows) == 7
        assert chosen.network.cost_at(6, chosen.size).low_macs
    with pytest.raises(RecipeError, match="every row of steps"):
        chosen.changed(quality={"table": {"steps": [[1], [2]], "thresholds": [50, 50]}})


def test_classes_of_imagenet() -> None:
    assert len(set(wordnet_ids())) == len(set(labels())) == 1000
    assert dict(zip(wordnet_ids(), labels(), strict=True))["n03394916"] == "French horn"
