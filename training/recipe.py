"""A recipe: everything that decides a training run, in one small TOML file."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

import torch
from pydantic import Field, ValidationError, model_validator

from overtone.frequency import fit
from overtone.training import body_config  # noqa: F401 (registers a kind of network)
from overtone.training.compression import Compressed, Compression
from overtone.training.data import Augment, Augmentation, View
from overtone.training.network_configs import CascadeConfig, Network
from overtone.training.optimiser import Optimiser
from overtone.training.quality import Quality
from overtone.training.section import Section
from overtone.validation import one_line

RECIPES = Path(__file__).parent / "recipes"


class RecipeError(ValueError):
    """A recipe that does not exist or is not valid."""


class Experiment(Section):
    """The settings that recipes of all tasks share. Sizes are sides in pixels."""

    name: str
    size: int = Field(default=448, gt=0)
    epochs: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        default=(90, 90), description="one number per training step; 0 leaves what it trains as it starts"
    )
    seed: int = 0
    # (share of the epochs, side): early epochs train faster at a smaller side; the last side is `size`.
    progressive: tuple[tuple[float, int], ...] = ()

    @classmethod
    def validated(cls, raw: dict[str, Any], name: str) -> Self:
        """The recipe with these values; errors begin with `name`.

        Raises:
            RecipeError: not valid; the message is one line.
        """
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            raise RecipeError(f"{name}: {one_line(error)}") from error

    @property
    def steps(self) -> int:
        """The number of training steps."""
        raise NotImplementedError

    def size_at(self, progress: float) -> int:
        """Side of the training images after this share (0 to 1) of the epochs."""
        return next((size for until, size in self.progressive if progress < until), self.size)

    def generator(self, step: int, epoch: int) -> torch.Generator:
        """Seed torch's own generator for an epoch of a step, and return one for quantiser steps."""
        seed = (self.seed * 2 + step) * 10_007 + epoch
        torch.manual_seed(seed * 1_009)
        return torch.Generator().manual_seed(seed)

    def changed(self, **changes: Any) -> Self:
        """The recipe with changes, of which those that are None are left out; one number of epochs is for all steps.

        Raises:
            RecipeError: the result is not valid.
        """
        updates = {key: value for key, value in changes.items() if value is not None}
        if "size" in updates:
            updates["progressive"] = ()
        if len(updates.get("epochs", ())) == 1:
            updates["epochs"] *= self.steps
        return self.validated(self.model_dump() | updates, self.name)


E = TypeVar("E", bound=Experiment)


class Recipe(Experiment):
    """The recipe of a classifier."""

    network: Network = CascadeConfig()
    optimiser: Optimiser = Optimiser()
    augment: Augmentation = Augmentation()
    blend: float = Field(default=0.0, ge=0, le=1, description="share of blended images, if a teacher answers")
    quality: Quality = Quality()
    labels: dict[str, str] = Field(default={}, description="class folder -> the label people read")
    start: str = Field(default="", description="checkpoint whose weights the run begins with")
    # Passes the images through an ordinary codec, for a network on RGB; None leaves them as they are.
    compression: Compression | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Recipe":
        kind, steps = self.network.kind, self.network.steps
        if len(self.epochs) != steps:
            numbers = "one number" if steps == 1 else f"{steps} numbers"
            raise ValueError(f"epochs: a {kind} is trained in {steps} step(s), so give {numbers}")
        if self.optimiser.distil and not self.network.trains_high_first:
            raise ValueError(
                "distil needs bodies or a cascade of structure 3: no other trains low after high"
            )
        if self.compression and not self.network.rgb:
            raise ValueError("compression is for networks that read RGB")
        for size in (self.size, *(size for _, size in self.progressive)):
            self.network.check_size(size)
        return self

    @property
    def augmentation(self) -> Augment:
        """How training images are altered."""
        return Compressed(self.augment, self.compression) if self.compression else self.augment

    @property
    def view(self) -> View:
        """How images are prepared when the network is scored."""
        return self.compression.view if self.compression else fit

    @property
    def steps(self) -> int:
        """The number of training steps of the network."""
        return self.network.steps


def recipe_names(folder: Path = RECIPES) -> list[str]:
    """Names of the recipes in a folder, by default of those that come with the package."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def recipe_file(name_or_path: str, folder: Path = RECIPES) -> Path:
    """The file of a recipe, whose name is looked up in a folder."""
    path = Path(name_or_path)
    return path if path.suffix == ".toml" else folder / f"{name_or_path}.toml"


def is_recipe(name_or_path: str) -> bool:
    """Whether there is such a recipe."""
    return recipe_file(name_or_path).is_file()


def load_recipe(name_or_path: str | Path) -> Recipe:
    """A recipe by file, or by the name of one that comes with the package.

    `extends = "NAME"` starts from the recipe NAME.toml in the same folder; tables are merged. A recipe without
    a `name` is named after its file.

    Raises:
        RecipeError: not found, or not valid.
    """
    return load(str(name_or_path), Recipe, RECIPES)


def load(name_or_path: str, kind: type[E], folder: Path) -> E:
    """A recipe of a kind by file, or by the name of one in a folder; see `load_recipe`.

    Raises:
        RecipeError: not found, or not valid.
    """
    path = recipe_file(name_or_path, folder)
    if not path.is_file():
        raise RecipeError(
            f"{name_or_path}: no such recipe; give a .toml file or one of {recipe_names(folder)}"
        )
    return kind.validated(read_toml(path), str(path))


def read_toml(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The recipe as written, merged into the one it extends, by way of those that were `seen`.

    Raises:
        RecipeError: not TOML, or it extends itself or what is not there.
    """
    path = path.resolve()
    if path in seen:
        raise RecipeError(f"{path}: extends itself, by way of {' and '.join(p.name for p in seen)}")
    if not path.is_file():
        raise RecipeError(f"{seen[-1]}: extends {path.stem!r}, which is not in its folder")
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path}: {error}") from error
    raw = {"name": path.stem} | raw
    base = raw.pop("extends", None)
    return _merged(read_toml(path.parent / f"{base}.toml", (*seen, path)), raw) if base else raw


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Tables are merged key by key, unless they are of different kinds; anything else is replaced."""
    both = {
        key: _merged(base[key], value)
        for key, value in changes.items()
        if isinstance(value, dict) and key in base and _same_kind(base[key], value)
    }
    return base | changes | both


def _same_kind(base: dict[str, Any], changes: dict[str, Any]) -> bool:
    kinds = {table["kind"] for table in (base, changes) if "kind" in table}
    return len(kinds) < 2
