from pathlib import Path

import pytest

from training.recipe import RECIPES, Recipe, RecipeError, load_recipe


@pytest.mark.parametrize("name", sorted(p.stem for p in RECIPES.glob("*.toml")))
def test_recipes_that_come_with_it(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    recipe.network.architecture(10)


def test_the_reports_recipe() -> None:
    o = load_recipe("report").optimiser
    assert (o.lr, o.momentum, o.weight_decay, o.batch, o.warmup) == (0.5, 0.9, 1e-4, 128, 5)
    assert load_recipe("report").epochs == (90, 90)


def test_progressive_sizes() -> None:
    recipe = Recipe(name="x", size=224, progressive=((0.4, 160), (0.7, 192)))
    assert [recipe.size_at(p) for p in (0, 0.39, 0.4, 0.7, 0.99)] == [160, 160, 192, 224, 224]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("size = 100", "multiple of 8"),
        ("[quality]\nsteps = [16, 32]", "coarse to fine"),
        ("[optimizer]", "optimizer"),
        ("size =", "Invalid"),
    ],
)
def test_wrong_recipes(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text(f'name = "r"\n{text}\n')
    with pytest.raises(RecipeError, match=message):
        load_recipe(str(path))


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(RecipeError, match="imagenette"):
        load_recipe("nothing")
