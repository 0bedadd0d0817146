from pathlib import Path

import pytest

from overtone.training.data import Augmentation
from overtone.training.network_configs import BaselineConfig, CascadeConfig
from overtone.training.optimiser import Optimiser
from overtone.training.recipe import RECIPES, Recipe, RecipeError, load_recipe, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_that_come_with_it(name: str) -> None:
    recipe = load_recipe(name)
    # Further cycles of a checkpoint make the same checkpoint.
    assert recipe.name == name.removesuffix("-again").removesuffix("-tuned").removesuffix("-layers")
    assert (RECIPES / f"{name}.toml").read_text("utf-8").startswith("# "), "says what it is"
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_progressive_sizes() -> None:
    recipe = Recipe(name="x", size=224, progressive=((0.4, 160), (0.7, 192)))
    assert [recipe.size_at(p) for p in (0, 0.39, 0.4, 0.7, 0.99)] == [160, 160, 192, 224, 224]


def test_rate_warms_up_and_falls_to_nothing() -> None:
    o = Optimiser(lr=0.4, warmup=2)
    assert 0 < o.rate(0, 10) < o.rate(1, 10) < o.rate(2, 10) == 0.4
    assert o.rate(6, 10) == pytest.approx(0.2)
    assert o.rate(10, 10) == pytest.approx(0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("size = 100", "r.toml: size: 100 is not a multiple of 8"),
        ("progressive = [[0.5, 100]]", "size: 100"),
        ("[quality]\nsteps = [16, 32]", "coarse to fine"),
        ("[optimizer]", "optimizer"),
        ("[augment]\nscales = [1, 1]", "augment.scales"),
        ("size =", "Invalid"),
        ("epochs = [-1, 3]", "greater than or equal to 0"),
        ("epochs = [3]", "cascade is trained in 2 step"),
        ("epochs = [3, 3]\n[network]\nkind = 'patch'", "patch is trained in 1 step"),
        ("[network]\nkind = 'resnet51'", "no kind of network 'resnet51'; there are bodies, cascade"),
        ("[network]\nwide = 1", "network.wide"),
        ("epochs = [1]\n[network]\nkind = 'patch'\n[optimiser]\ndistil = 0.5", "structure 3"),
        ("[optimiser]\nbatch = 2\naccumulate = 3", "3 parts"),
        ("extends = 'r'", "extends itself"),
        ("extends = 'none'", "'none'"),
    ],
)
def test_wrong_recipes(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text(f'name = "r"\n{text}\n')
    with pytest.raises(RecipeError, match=message) as caught:
        load_recipe(str(path))
    assert "\n" not in str(caught.value)


def test_unknown_name() -> None:
    with pytest.raises(RecipeError, match=r"no such recipe; give a \.toml file or one of .*imagenette"):
        load_recipe("nothing")


def test_a_recipe_extends_another(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text("size = 64\nepochs = [1]\n[network]\nkind = 'patch'\nwidth = 0.1\n")
    (tmp_path / "mine.toml").write_text("extends = 'base'\n[network]\nstem = 8\n")
    recipe = load_recipe(tmp_path / "mine.toml")
    assert (recipe.name, recipe.size) == ("mine", 64)
    assert recipe.network == BaselineConfig(width=0.1, stem=8)
    (tmp_path / "base.toml").write_text("extends = 'mine'\n")
    with pytest.raises(RecipeError, match="extends itself"):
        load_recipe(tmp_path / "mine.toml")


def test_a_network_is_a_cascade_unless_it_says_otherwise(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text("[network]\nlow_width = 0.25\n[augment]\nscale = [0.25, 1.0]\n")
    recipe = load_recipe(tmp_path / "r.toml")
    assert recipe.network == CascadeConfig(low_width=0.25)
    assert recipe.augment == Augmentation(scale=(0.25, 1.0))


def test_changes_of_the_command_line() -> None:
    recipe = load_recipe("imagenette")
    assert recipe.changed(size=None, epochs=None, seed=None, start=None) == recipe
    assert recipe.changed(epochs=(3,)).epochs == (3, 3)
    smaller = recipe.changed(size=96, seed=4)
    assert (smaller.size, smaller.progressive, smaller.seed) == (96, (), 4)
    with pytest.raises(RecipeError, match="size: "):
        recipe.changed(size=0)
    with pytest.raises(RecipeError, match="2 step"):
        recipe.changed(epochs=(3, 3, 3))
