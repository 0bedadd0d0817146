"""Weights of single networks: safetensors files with the recipe and the class folders, but without a card."""

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open

from overtone.models.checkpoint import BASELINE, bundled_files, stored, write_tensors
from overtone.training.recipe import Recipe
from overtone.training.systems import SingleSystem


class WeightsError(ValueError):
    """A file of weights that is missing, damaged, or was not written by `save`."""


@dataclass(frozen=True)
class Trained:
    """A trained system in eval mode, with its recipe and classes."""

    system: SingleSystem
    recipe: Recipe
    classes: tuple[str, ...]


def find_baseline(name_or_path: str) -> Path:
    """The file of a baseline: a path, or the name of the bundled checkpoint that the baseline is compared with.

    Raises:
        WeightsError: neither a file nor such a name.
    """
    known = {n.removeprefix(BASELINE): p for n, p in bundled_files().items() if n.startswith(BASELINE)}
    if name_or_path in known:
        return known[name_or_path]
    if Path(name_or_path).is_file():
        return Path(name_or_path)
    raise WeightsError(
        f"{name_or_path}: no such baseline; give the .safetensors file that `overtone train baseline` wrote"
        + (f", or one of {sorted(known)}" if known else "")
    )


def save(
    path: Path, system: SingleSystem, recipe: Recipe, classes: tuple[str, ...], half: bool = True
) -> None:
    """Write weights, recipe and classes to one file, atomically.

    With `half`, weights of convolutions and linear layers are stored as float16, as in a checkpoint.
    """
    tensors = {k: stored(v, half) for k, v in system.module.state_dict().items()}
    write_tensors(path, tensors, {"recipe": recipe.model_dump_json(), "classes": json.dumps(classes)})


def load(path: Path) -> Trained:
    """A trained single network, on the CPU.

    Raises:
        WeightsError: no such file, or not one that `save` wrote.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file; give the .safetensors file of a run")
    try:
        with safe_open(path, "pt") as file:
            meta = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        recipe, classes = Recipe.model_validate_json(meta["recipe"]), tuple(json.loads(meta["classes"]))
        system = recipe.network.build(len(classes))
        system.module.load_state_dict(tensors)
    except KeyError:
        raise WeightsError(f"{path}: has no recipe; it is not a single network of `overtone train`") from None
    except (SafetensorError, ValidationError, RuntimeError, OSError) as error:
        raise WeightsError(f"{path}: cannot be read ({error})") from error
    system.module.eval()
    return Trained(system, recipe, classes)
