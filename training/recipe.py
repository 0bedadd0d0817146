"""A recipe: everything that decides a training run, in one small TOML file."""

import math
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import torch
from pydantic import Field, ValidationError, model_validator
from torch import nn

from overtone.frequency import TWO_LAYERS, Layer, fit
from overtone.frequency.channels import HIGH, LOW
from overtone.frequency.ladder import Band, check_ladder
from overtone.models.common_card import one_line
from overtone.training import body_config  # noqa: F401 (registers a kind of network)
from overtone.training.compression import Compressed, Compression
from overtone.training.data import Augment, Augmentation, View
from overtone.training.network_configs import CascadeConfig, Network
from overtone.training.section import Section
from overtone.training.step_table import StepTable

ADAM_BETAS = (0.9, 0.98)
# The factors of low and high after all layers.
FINEST = ((1, 1),)
RECIPES = Path(__file__).parent / "recipes"


class RecipeError(ValueError):
    """A recipe that does not exist or is not valid."""


class Optimiser(Section):
    """SGD with Nesterov momentum, or AdamW; linear warm-up, and a cosine to zero.

    During the share `thaw` of a step's epochs only classifiers and normalisations are trained, at the rate
    `frozen_lr` (default: `lr`); then all weights are, with warm-up and cosine of their own.
    """

    kind: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(default=0.5, gt=0)
    momentum: float = 0.9
    # AdamW spares parameters of one dimension (biases, scales) from it.
    weight_decay: float = 1e-4
    batch: int = Field(default=128, gt=0)
    # Number of parts that a batch is computed in, if it does not fit into memory as a whole.
    accumulate: int = Field(default=1, gt=0)
    warmup: float = Field(default=5, ge=0, description="epochs")
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    # Share of the low network's target that is the high network's answer (Hinton et al. 2015); structure 3.
    distil: float = Field(default=0.0, ge=0, lt=1)
    # The largest norm of the gradient, longer ones are shortened; 0 leaves all as they are.
    clip: float = Field(default=0.0, ge=0)
    thaw: float = Field(default=0.0, ge=0, lt=1)
    frozen_lr: float | None = Field(default=None, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _ignore_ema(cls, value: Any) -> Any:
        # The bundled baseline's recipe says that it has no moving average of the weights.
        if isinstance(value, dict) and value.get("ema") == 0:
            return {key: entry for key, entry in value.items() if key != "ema"}
        return value

    @model_validator(mode="after")
    def _divisible(self) -> "Optimiser":
        if self.accumulate > self.batch:
            raise ValueError(f"a batch of {self.batch} cannot be computed in {self.accumulate} parts")
        return self

    def rate(self, epoch: float, epochs: int) -> float:
        """The learning rate after this many of the epochs."""
        frozen = self.frozen_epochs(epochs)
        if epoch < frozen:
            return self.frozen_lr or self.lr
        epoch, epochs = epoch - frozen, epochs - frozen
        if epoch < self.warmup:
            return self.lr * (epoch + 0.01) / self.warmup
        done = (epoch - self.warmup) / max(epochs - self.warmup, 1e-9)
        return self.lr * 0.5 * (1 + math.cos(math.pi * done))

    def frozen_epochs(self, epochs: int) -> int:
        """How many of a step's epochs train classifiers and normalisations alone."""
        return round(self.thaw * epochs)

    def build(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser of these parameters."""
        if self.kind == "sgd":
            return torch.optim.SGD(
                parameters, self.lr, self.momentum, weight_decay=self.weight_decay, nesterov=self.momentum > 0
            )
        matrices = [p for p in parameters if p.ndim > 1]
        vectors = [p for p in parameters if p.ndim <= 1]
        groups: list[dict[str, Any]] = [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, self.lr, ADAM_BETAS, weight_decay=self.weight_decay)


class Quality(Section):
    """Quantiser steps: `steps` are the qualities that a device may choose, coarsest first.

    Training draws a step per image, log-uniform from the finest to the coarsest. With `jitter`, each channel's
    step is drawn around it, log-normal with that standard deviation. With a `dead_zone` above 0.5, the part of
    a step from which a value is rounded up is drawn from 0.5 to `dead_zone`. A network trained with both
    copes with the steps that `overtone train codec` chooses. A `table` of steps takes the place of all of these.
    The default quality is the one with the fewest
    bytes that loses at most `tolerance` of top-1 on the calibration split. `ladder` lists the layers of payloads,
    each a band and a factor, as in `frequency.ladder`; networks are trained on what is known after each of them.
    """

    steps: tuple[int, ...] = (160, 112, 80, 64, 48, 32)
    jitter: float = Field(default=0.0, ge=0, le=1)
    dead_zone: float = Field(default=0.5, ge=0.5, lt=1)
    tolerance: float = Field(default=0.005, ge=0, lt=1)
    table: StepTable | None = None
    ladder: tuple[Layer, ...] = TWO_LAYERS

    def known(self, band: Band | None) -> tuple[tuple[int, int], ...]:
        """The factors of low and high after each layer that the network of a band answers.

        High counts as finest as long as it is not known. A network without a band always knows everything.
        """
        if band is None:
            return FINEST
        factors, found = {"low": 1, "high": 1}, []
        for number, layer in enumerate(self.ladder, 1):
            factors[layer.band] = layer.factor
            answers = "high" if any(each.band == "high" for each in self.ladder[:number]) else "low"
            if answers == band:
                found.append((factors["low"], factors["high"]))
        return tuple(found)

    @property
    def rows(self) -> tuple[tuple[int, ...], ...]:
        """The steps of the low and high channels at every quality."""
        if self.table:
            return self.table.steps
        return tuple((step,) * len(LOW + HIGH) for step in self.steps)

    @model_validator(mode="after")
    def _ordered(self) -> "Quality":
        if sorted(self.steps, reverse=True) != list(self.steps) or min(self.steps) < 1:
            raise ValueError("steps must be positive and run from coarse to fine")
        check_ladder(self.ladder)
        return self


class Experiment(Section):
    """What recipes of all tasks have. Sizes are sides in pixels."""

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
        """The recipe of these values; `name` stands in errors.

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
        """The recipe with other values; those that are None stay. One number of epochs applies to every step.

        Raises:
            RecipeError: the result is not valid.
        """
        given = {key: value for key, value in changes.items() if value is not None}
        if "size" in given:
            given["progressive"] = ()
        if len(given.get("epochs", ())) == 1:
            given["epochs"] *= self.steps
        return self.validated(self.model_dump() | given, self.name)


E = TypeVar("E", bound=Experiment)


class Recipe(Experiment):
    """One experiment on classes."""

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
        """As its network is trained."""
        return self.network.steps


def known(folder: Path = RECIPES) -> list[str]:
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
        raise RecipeError(f"{name_or_path}: no such recipe; give a .toml file or one of {known(folder)}")
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
