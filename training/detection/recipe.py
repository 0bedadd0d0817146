"""Recipes of detectors."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, ValidationError, model_validator

from overtone.frequency.channels import BLOCK, HIGH, LOW, Channels
from overtone.models.card import one_line
from overtone.models.detection.detector import (
    AnyDetector,
    DetectorArchitecture,
    PixelArchitecture,
)
from overtone.models.detection.features import FeatureConfig
from overtone.models.detection.region_network import Head
from overtone.training.detection.augmentation import SceneAugmentation
from overtone.training.recipe import Optimiser, Quality, RecipeError, read_toml
from overtone.training.section import Section

RECIPES = Path(__file__).parent / "recipes"


class DetectorConfig(Section):
    """Low and high network on coefficients."""

    kind: Literal["detector"] = "detector"
    steps: ClassVar[int] = 2
    low: FeatureConfig
    high: FeatureConfig
    head: Head = Head()

    @property
    def channels(self) -> tuple[Channels | None, ...]:
        """What each network reads."""
        return LOW, LOW + HIGH

    def architecture(self, classes: int) -> AnyDetector:
        """The architecture for this many classes."""
        return DetectorArchitecture(classes=classes, low=self.low, high=self.high, head=self.head)


class PixelDetectorConfig(Section):
    """One network on RGB images."""

    kind: Literal["pixel-detector"] = "pixel-detector"
    steps: ClassVar[int] = 1
    features: FeatureConfig
    head: Head = Head()

    @property
    def channels(self) -> tuple[Channels | None, ...]:
        """It reads pixels."""
        return (None,)

    def architecture(self, classes: int) -> AnyDetector:
        """The architecture for this many classes."""
        return PixelArchitecture(classes=classes, features=self.features, head=self.head)


class DetectionRecipe(Section):
    """One experiment. Sizes are sides in pixels of the square that a picture is letter-boxed in.

    Attributes:
        epochs: of each network, low first; 0 leaves one as it starts.
        progressive: as in `training.recipe.Recipe`.
        frozen_stages: the first stages of pretrained bodies, which stay as they are.
        frozen_norms: whether normalisations of the features keep their statistics, as batches are small.
        start: checkpoint whose bodies, or a detector whose weights the run begins with.
    """

    task: Literal["detect"] = "detect"
    name: str
    size: int = Field(default=320, gt=0)
    epochs: tuple[Annotated[int, Field(ge=0)], ...]
    seed: int = 0
    progressive: tuple[tuple[float, int], ...] = ()
    network: Annotated[DetectorConfig | PixelDetectorConfig, Field(discriminator="kind")]
    optimiser: Optimiser = Optimiser()
    augment: SceneAugmentation = SceneAugmentation()
    quality: Quality = Quality()
    frozen_stages: int = Field(default=0, ge=0)
    frozen_norms: bool = True
    start: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.epochs) != self.network.steps or not any(self.epochs):
            raise ValueError(f"epochs: give {self.network.steps} number(s), not all of them 0")
        if wrong := [s for s in (self.size, *(s for _, s in self.progressive)) if s % BLOCK]:
            raise ValueError(f"size: {wrong[0]} is not a multiple of {BLOCK}")
        o = self.optimiser
        if o.distil or o.label_smoothing or o.accumulate > 1:
            raise ValueError("optimiser: a detector has no distil, label_smoothing or accumulate")
        return self

    def size_at(self, progress: float) -> int:
        """Side of the training images after this share (0 to 1) of the epochs."""
        return next((size for until, size in self.progressive if progress < until), self.size)

    def changed(self, **changes: Any) -> "DetectionRecipe":
        """The recipe with other values; those that are None stay. One number of epochs applies to every step.

        Raises:
            RecipeError: the result is not valid.
        """
        given = {key: value for key, value in changes.items() if value is not None}
        if "size" in given:
            given["progressive"] = ()
        if len(given.get("epochs", ())) == 1:
            given["epochs"] *= self.network.steps
        return _validated(self.model_dump() | given, self.name)


def known() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def is_detection_recipe(name_or_path: str) -> bool:
    """Whether it is the name of a recipe of a detector, or the file of one."""
    path = _file(name_or_path)
    try:
        return path.is_file() and read_toml(path).get("task") == "detect"
    except RecipeError:
        return False


def load_detection_recipe(name_or_path: str) -> DetectionRecipe:
    """A recipe by file, or by the name of one that comes with the package; `extends` as in `load_recipe`.

    Raises:
        RecipeError: not found, or not valid.
    """
    path = _file(name_or_path)
    if not path.is_file():
        raise RecipeError(f"{name_or_path}: no such recipe; give a .toml file or one of {known()}")
    return _validated(read_toml(path), str(path))


def _file(name_or_path: str) -> Path:
    path = Path(name_or_path)
    return path if path.suffix == ".toml" else RECIPES / f"{name_or_path}.toml"


def _validated(raw: dict[str, Any], name: str) -> DetectionRecipe:
    try:
        return DetectionRecipe.model_validate(raw)
    except ValidationError as error:
        raise RecipeError(f"{name}: {one_line(error)}") from error
