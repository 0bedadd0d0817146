"""Weights of single networks: safetensors files with the recipe and the class folders, and no card."""

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from training.recipe import Recipe
from training.systems import System, build


class WeightsError(ValueError):
    """A file of weights that is missing, damaged or not one of ours."""


@dataclass(frozen=True)
class Trained:
    """A trained system in eval mode, and where it comes from."""

    system: System
    recipe: Recipe
    classes: tuple[str, ...]


def save(path: Path, system: System, recipe: Recipe, classes: tuple[str, ...]) -> None:
    """Write weights, recipe and classes to one file, whole or not at all."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in system.module.state_dict().items()}
    temporary = path.with_suffix(".part")
    save_file(tensors, temporary, {"recipe": recipe.model_dump_json(), "classes": json.dumps(classes)})
    temporary.replace(path)


def load(path: Path) -> Trained:
    """A trained single network, on the CPU.

    Raises:
        WeightsError: no such file, or not what `save` wrote.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file; give the .safetensors file of a run")
    try:
        with safe_open(path, "pt") as file:
            meta = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        recipe, classes = Recipe.model_validate_json(meta["recipe"]), tuple(json.loads(meta["classes"]))
        system = build(recipe, len(classes))
        system.module.load_state_dict(tensors)
    except KeyError:
        raise WeightsError(f"{path}: has no recipe; it is not a single network of `overtone train`") from None
    except (SafetensorError, ValidationError, RuntimeError, OSError) as error:
        raise WeightsError(f"{path}: cannot be read ({error})") from error
    system.module.eval()
    return Trained(system, recipe, classes)
