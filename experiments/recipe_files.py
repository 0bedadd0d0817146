"""The recipes of the papers' experiments: `report-*` as they were run, `small-*` on a budget of two cores."""

from pathlib import Path

import experiments.networks  # noqa: F401  (registers the kinds of network that the recipes name)
from overtone.training.recipe import Recipe, RecipeError, load_recipe

RECIPES = Path(__file__).parent / "recipes"
# What the small recipes share; it is not an experiment itself.
BASE = "small-base"


def load(name_or_path: str) -> Recipe:
    """A recipe by file, or by its name in this package."""
    inside = RECIPES / f"{name_or_path}.toml"
    return load_recipe(inside if inside.is_file() else name_or_path)


def named(name: str) -> list[str]:
    """The recipe of this name, or those that begin with it and a hyphen.

    Raises:
        RecipeError: there are none.
    """
    names = sorted(path.stem for path in RECIPES.glob("*.toml") if path.stem != BASE)
    found = [name] if name in names else [each for each in names if each.startswith(f"{name}-")]
    if not found:
        raise RecipeError(f"{name}: no such recipe; there are {', '.join(names)}")
    return found
