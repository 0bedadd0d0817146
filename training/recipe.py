"""A recipe: everything that decides a training run, in one small TOML file."""

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.cascade import Architecture

RECIPES = Path(__file__).parent / "recipes"


class RecipeError(ValueError):
    """A recipe that is not there or does not hold together."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Optimiser(_Section):
    """SGD with Nesterov momentum, linear warm-up, cosine to zero."""

    lr: float = Field(default=0.5, gt=0)
    momentum: float = 0.9
    weight_decay: float = 1e-4
    batch: int = Field(default=128, gt=0)
    warmup: float = Field(default=5, ge=0, description="epochs")
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    ema: float = Field(default=0.0, ge=0, lt=1, description="decay of the averaged weights; 0 is none")
    # Share of the low network's target that is the high network's answer (Hinton et al. 2015); structure 3.
    distil: float = Field(default=0.0, ge=0, lt=1)


class Augment(_Section):
    """Random resized crop: share of the area, aspect ratio."""

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: bool = True


class Quality(_Section):
    """Quantiser steps: `steps` are the qualities a device may choose, coarsest first.

    Training draws a step per picture, log-uniform from the finest to the coarsest. The default quality is the
    one with the fewest bytes that costs at most `tolerance` of top-1 on the calibration part.
    """

    steps: tuple[int, ...] = (160, 112, 80, 64, 48, 32)
    tolerance: float = Field(default=0.005, ge=0, lt=1)

    @model_validator(mode="after")
    def _ordered(self) -> "Quality":
        if sorted(self.steps, reverse=True) != list(self.steps) or min(self.steps) < 1:
            raise ValueError("steps must be positive and run from coarse to fine")
        return self


class Network(_Section):
    """The cascade without what the data decides (see `models.Architecture`)."""

    structure: int = 3
    fusion: str = "concatenate"
    stages: tuple[int, ...] = (0, 1, 2, 3)
    low_width: float = 0.5
    high_width: float = 0.5
    stem: int = 32
    strides: tuple[int, int, int, int] = (1, 2, 2, 2)
    layers: tuple[int, int, int, int] = (3, 4, 6, 3)

    def architecture(self, classes: int) -> Architecture:
        """The architecture for so many classes."""
        return Architecture(classes=classes, **self.model_dump())


class Recipe(_Section):
    """One experiment. Sizes are sides in pixels, multiples of 8."""

    name: str
    size: int = Field(default=448, gt=0, multiple_of=8)
    epochs: tuple[int, int] = Field(default=(90, 90), description="of the first and the second step")
    seed: int = 0
    # (share of the epochs, side): early epochs at a smaller side train faster; the last entry is `size`.
    progressive: tuple[tuple[float, int], ...] = ()
    network: Network = Network()
    optimiser: Optimiser = Optimiser()
    augment: Augment = Augment()
    quality: Quality = Quality()
    labels: dict[str, str] = Field(default={}, description="class folder -> what people call it")
    start: str = Field(default="", description="checkpoint whose weights the run begins with")

    @model_validator(mode="after")
    def _teachable(self) -> "Recipe":
        if self.optimiser.distil and self.network.structure != 3:
            raise ValueError("distil needs structure 3: in the others low is trained before high")
        return self

    def size_at(self, progress: float) -> int:
        """Side of the training pictures when this share (0 to 1) of the epochs is done."""
        for until, size in self.progressive:
            if progress < until:
                return size
        return self.size


def load_recipe(name_or_path: str) -> Recipe:
    """A recipe by file, or by the name of one that comes with the package.

    Raises:
        RecipeError: not found, or not valid.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = RECIPES / f"{name_or_path}.toml"
    if not path.is_file():
        known = sorted(p.stem for p in RECIPES.glob("*.toml"))
        raise RecipeError(f"{name_or_path}: no such recipe; give a .toml file or one of {known}")
    try:
        return Recipe.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise RecipeError(f"{path}: {error}") from error
