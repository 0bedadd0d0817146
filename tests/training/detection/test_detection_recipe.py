from pathlib import Path

import pytest

from overtone.training.detection.recipe import (
    RECIPES,
    DetectorConfig,
    PixelDetectorConfig,
    is_detection_recipe,
    load_detection_recipe,
)
from overtone.training.recipe import RecipeError, recipe_names
from tests.training.detection.tiny_recipe import recipe


@pytest.mark.parametrize("name", recipe_names(RECIPES))
def test_bundled_recipes_are_valid(name: str) -> None:
    assert is_detection_recipe(name)
    # Further cycles of a recipe are of the same name.
    assert load_detection_recipe(name).name == name.removesuffix("-again").removesuffix("-gpu")


def test_the_twin_has_the_high_body_and_head_of_voc2007() -> None:
    ours, theirs = load_detection_recipe("voc2007"), load_detection_recipe("voc2007-rgb")
    assert isinstance(ours.network, DetectorConfig)
    assert isinstance(theirs.network, PixelDetectorConfig)
    assert theirs.network.features == ours.network.high
    assert theirs.network.head == ours.network.head
    assert theirs.optimiser == ours.optimiser
    assert theirs.epochs == ours.epochs[1:]


def test_recipes_of_classifiers_are_none_of_detectors(tmp_path: Path) -> None:
    assert not is_detection_recipe("imagenette")
    assert not is_detection_recipe(str(tmp_path / "none.toml"))
    (tmp_path / "broken.toml").write_text("task = ")
    assert not is_detection_recipe(str(tmp_path / "broken.toml"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": (1, 2, 3)}, "epochs: give 2"),
        ({"epochs": (0, 0)}, "not all of them 0"),
        ({"size": 60}, "60 is not a multiple of 8"),
        ({"optimiser": {"distil": 0.5}}, "no distil"),
        ({"compression": {"qualities": {"jpeg": (5, 5)}, "sides": (16,)}}, "for detectors on pixels"),
    ],
)
def test_what_a_recipe_cannot_say(changes: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe().changed(**changes)


def test_one_number_of_epochs_is_for_every_network() -> None:
    assert recipe().changed(epochs=(3,)).epochs == (3, 3)
    assert recipe().changed(size=96).size_at(0) == 96
    with pytest.raises(RecipeError, match="no such recipe"):
        load_detection_recipe("none")
