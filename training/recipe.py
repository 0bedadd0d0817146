"""A recipe: everything that decides a training run, in one small TOML file."""

import math
import tomllib
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator

from overtone.frequency.pixels import fit
from overtone.training.compression import Compressed, Compression
from overtone.training.data import Augment, Augmentation, View
from overtone.training.kinds import CascadeNetwork, Network, Section

RECIPES = Path(__file__).parent / "recipes"
# What the recipes of a folder share stands in a file of this name, which is no experiment itself.
BASE = "base"


class RecipeError(ValueError):
    """A recipe that is not there or does not hold together."""


class Optimiser(Section):
    """SGD with Nesterov momentum, linear warm-up, cosine to zero."""

    lr: float = Field(default=0.5, gt=0)
    momentum: float = 0.9
    weight_decay: float = 1e-4
    batch: int = Field(default=128, gt=0)
    # Parts that a batch is computed in, one after another, where the whole does not fit into memory.
    accumulate: int = Field(default=1, gt=0)
    warmup: float = Field(default=5, ge=0, description="epochs")
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    ema: float = Field(default=0.0, ge=0, lt=1, description="decay of the averaged weights; 0 is none")
    # Share of the low network's target that is the high network's answer (Hinton et al. 2015); structure 3.
    distil: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _divisible(self) -> "Optimiser":
        if self.accumulate > self.batch:
            raise ValueError(f"a batch of {self.batch} cannot be computed in {self.accumulate} parts")
        return self

    def rate(self, epoch: float, epochs: int) -> float:
        """Learning rate when so many of the epochs are done."""
        if epoch < self.warmup:
            return self.lr * (epoch + 0.01) / self.warmup
        done = (epoch - self.warmup) / max(epochs - self.warmup, 1e-9)
        return self.lr * 0.5 * (1 + math.cos(math.pi * done))


class Quality(Section):
    """Quantiser steps: `steps` are the qualities a device may choose, coarsest first.

    Training draws a step per picture, log-uniform from the finest to the coarsest. With `jitter`, each
    channel's step is drawn around it, log-normal with that standard deviation. With a `dead_zone` above a
    half, the part of a step from which a value is rounded up is drawn from a half to there. Networks trained
    so take whatever `overtone train codec` chooses. The default quality is the one with the fewest bytes that
    costs at most `tolerance` of top-1 on the calibration part.
    """

    steps: tuple[int, ...] = (160, 112, 80, 64, 48, 32)
    jitter: float = Field(default=0.0, ge=0, le=1)
    dead_zone: float = Field(default=0.5, ge=0.5, lt=1)
    tolerance: float = Field(default=0.005, ge=0, lt=1)

    @model_validator(mode="after")
    def _ordered(self) -> "Quality":
        if sorted(self.steps, reverse=True) != list(self.steps) or min(self.steps) < 1:
            raise ValueError("steps must be positive and run from coarse to fine")
        return self


class Recipe(Section):
    """One experiment. Sizes are sides in pixels, multiples of 8; of 4 for a network that reads patches."""

    name: str
    size: int = Field(default=448, gt=0, multiple_of=4)
    epochs: tuple[int, ...] = Field(default=(90, 90), description="one number a training step")
    seed: int = 0
    # (share of the epochs, side): early epochs at a smaller side train faster; the last entry is `size`.
    progressive: tuple[tuple[float, int], ...] = ()
    network: Network = CascadeNetwork()
    optimiser: Optimiser = Optimiser()
    augment: Augmentation = Augmentation()
    quality: Quality = Quality()
    labels: dict[str, str] = Field(default={}, description="class folder -> what people call it")
    start: str = Field(default="", description="checkpoint whose weights the run begins with")
    # Pictures that come through an ordinary codec, for a network on RGB; None is as they are.
    compression: Compression | None = None

    @field_validator("network", mode="before")
    @classmethod
    def _cascade_unless_said(cls, value: object) -> object:
        return {"kind": "cascade"} | value if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _leaves_a_map(self) -> "Recipe":
        # On maps of one value most taps of a depthwise kernel see padding only, and oneDNN (torch 2.13) was
        # seen to leave what lay in memory as their gradient.
        if self.network.kind == "mobilenetv2":
            most = 32 if self.network.input == "rgb" else 8 * 16
            smallest = min([self.size, *(size for _, size in self.progressive)])
            if smallest <= most:
                raise ValueError(f"MobileNetV2 shrinks {smallest} pixels to one value; take more than {most}")
        return self

    @model_validator(mode="after")
    def _holds_together(self) -> "Recipe":
        kind, steps = self.network.kind, self.network.steps
        if len(self.epochs) != steps:
            numbers = "one number" if steps == 1 else f"{steps} numbers"
            raise ValueError(f"epochs: a {kind} is trained in {steps} step(s), so give {numbers}")
        if self.optimiser.distil and getattr(self.network, "structure", None) != 3:
            raise ValueError("distil needs a cascade of structure 3: no other trains low after high")
        return self

    @model_validator(mode="after")
    def _readable(self) -> "Recipe":
        if self.network.kind != "patch" and self.size % 8:
            raise ValueError(f"size: {self.size} is not a multiple of 8; only patches go by 4")
        if self.compression and self.network.kind != "patch" and getattr(self.network, "input", 0) != "rgb":
            raise ValueError("compression is for networks on RGB: kind patch, or input rgb")
        return self

    @property
    def augmentation(self) -> Augment:
        """What is done to training pictures."""
        return Compressed(self.augment, self.compression) if self.compression else self.augment

    @property
    def view(self) -> View:
        """How pictures reach the network when it is scored."""
        return self.compression.view if self.compression else fit

    def size_at(self, progress: float) -> int:
        """Side of the training pictures when this share (0 to 1) of the epochs is done."""
        for until, size in self.progressive:
            if progress < until:
                return size
        return self.size


def known() -> list[str]:
    """Names of the recipes that come with the package, with their folder where they stand in one."""
    names = (p.relative_to(RECIPES).with_suffix("") for p in RECIPES.rglob("*.toml"))
    return sorted(name.as_posix() for name in names if name.name != BASE)


def load_recipe(name_or_path: str) -> Recipe:
    """A recipe by file, or by the name of one that comes with the package.

    `extends = "NAME"` begins with the recipe NAME.toml of the same folder; tables are merged. A recipe
    without a `name` is called like its file.

    Raises:
        RecipeError: not found, or not valid.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = RECIPES / f"{name_or_path}.toml"
    if not path.is_file():
        raise RecipeError(f"{name_or_path}: no such recipe; give a .toml file or one of {known()}")
    return validated(_read(path, ()), str(path))


def validated(raw: dict[str, Any], name: str) -> Recipe:
    """The recipe of these values, called `name` in errors.

    Raises:
        RecipeError: not valid; one line.
    """
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        raise RecipeError(f"{name}: {_one_line(error)}") from error


def _read(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    """The recipe as written, on top of what it extends."""
    path = path.resolve()
    if path in seen:
        raise RecipeError(f"{path}: extends itself, over {' and '.join(p.name for p in seen)}")
    if not path.is_file():
        raise RecipeError(f"{seen[-1]}: extends {path.stem!r}, which is not in its folder")
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path}: {error}") from error
    raw = {"name": _name(path)} | raw
    if "network" in raw:
        raw["network"] = _with_channels(path, raw["network"])
    base = raw.pop("extends", None)
    return _merged(_read(path.parent / f"{base}.toml", (*seen, path)), raw) if base else raw


def _name(path: Path) -> str:
    inside = path.is_relative_to(RECIPES.resolve())
    return "-".join(path.relative_to(RECIPES.resolve()).with_suffix("").parts) if inside else path.stem


def _with_channels(path: Path, network: Any) -> Any:
    """The network with its channels in place of the file that holds them, so that a recipe stands alone."""
    chosen = network.get("input") if isinstance(network, dict) else None
    if not isinstance(chosen, str) or chosen == "rgb":
        return network
    try:
        return network | {"input": tomllib.loads((path.parent / chosen).read_text("utf-8"))["channels"]}
    except FileNotFoundError:
        raise RecipeError(f"{path}: no file of channels {chosen!r} beside it") from None
    except (tomllib.TOMLDecodeError, KeyError) as error:
        raise RecipeError(f"{path.parent / chosen}: not a file of channels ({error})") from error


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Tables are merged key by key; anything else is replaced."""
    both = {k: _merged(base[k], v) for k, v in changes.items() if isinstance(v, dict) and k in base}
    return base | changes | both


def _one_line(error: ValidationError) -> str:
    """What is wrong where, without pydantic's links."""
    told = []
    for each in error.errors(include_url=False):
        where = ".".join(str(part) for part in each["loc"])
        told.append(": ".join(filter(None, (where, each["msg"].removeprefix("Value error, ")))))
    return "; ".join(told)
