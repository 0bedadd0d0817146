"""Recipes of detectors: everything that decides the training of one, in a TOML file."""

import json
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from overtone.frequency.channels import BLOCK, HIGH, LOW, Channels
from overtone.models.detection.detector import (
    AnyDetector,
    DetectorArchitecture,
    PixelArchitecture,
)
from overtone.models.detection.features import FeatureConfig
from overtone.models.detection.region_network import HeadConfig
from overtone.training.compression import Compression
from overtone.training.detection.augmentation import SceneAugmentation
from overtone.training.optimiser import Optimiser
from overtone.training.quality import Quality
from overtone.training.recipe import Experiment, RecipeError, load, read_toml, recipe_file
from overtone.training.section import Section

RECIPES = Path(__file__).parent / "recipes"


class DetectorConfig(Section):
    """A detector of a low and a high network on coefficients."""

    kind: Literal["detector"] = "detector"
    steps: ClassVar[int] = 2
    low: FeatureConfig
    high: FeatureConfig
    head: HeadConfig = HeadConfig()

    @property
    def channels(self) -> tuple[Channels | None, ...]:
        """The channels that each network reads."""
        return LOW, LOW + HIGH

    def architecture(self, classes: int) -> AnyDetector:
        """The architecture for this many classes."""
        return DetectorArchitecture(classes=classes, low=self.low, high=self.high, head=self.head)


class PixelDetectorConfig(Section):
    """A detector of one network on RGB images."""

    kind: Literal["pixel-detector"] = "pixel-detector"
    steps: ClassVar[int] = 1
    features: FeatureConfig
    head: HeadConfig = HeadConfig()

    @property
    def channels(self) -> tuple[Channels | None, ...]:
        """None: the network reads pixels."""
        return (None,)

    def architecture(self, classes: int) -> AnyDetector:
        """The architecture for this many classes."""
        return PixelArchitecture(classes=classes, features=self.features, head=self.head)


class DetectionRecipe(Experiment):
    """One training run. Sizes are sides in pixels of the square that a picture is letter-boxed in.

    Attributes:
        epochs: of each network, low first; 0 leaves a network as it starts.
        frozen_stages: number of the first stages of pretrained bodies that are not trained.
        frozen_norms: whether normalisations of the features keep their statistics, as batches are small.
        start: checkpoint whose bodies, or a detector's file whose weights, the run begins with.
        regions: share of the pictures of which the high network gets all layers in some blocks alone, as when a
            server asks for some blocks.
        compression: codes and decodes the pictures with an ordinary codec, for a detector on pixels.
    """

    task: Literal["detect"] = "detect"
    size: int = Field(default=320, gt=0)
    epochs: tuple[Annotated[int, Field(ge=0)], ...]
    network: Annotated[DetectorConfig | PixelDetectorConfig, Field(discriminator="kind")]
    optimiser: Optimiser = Optimiser()
    augment: SceneAugmentation = SceneAugmentation()
    quality: Quality = Quality()
    frozen_stages: int = Field(default=0, ge=0)
    frozen_norms: bool = True
    start: str = ""
    regions: float = Field(default=0.0, ge=0, le=1)
    compression: Compression | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.epochs) != self.network.steps or not any(self.epochs):
            raise ValueError(f"epochs: give {self.network.steps} number(s), not all of them 0")
        if wrong := [s for s in (self.size, *(s for _, s in self.progressive)) if s % BLOCK]:
            raise ValueError(f"size: {wrong[0]} is not a multiple of {BLOCK}")
        if self.compression and isinstance(self.network, DetectorConfig):
            raise ValueError("compression is for detectors on pixels")
        o = self.optimiser
        if o.distil or o.label_smoothing or o.accumulate > 1:
            raise ValueError("optimiser: a detector has no distil, label_smoothing or accumulate")
        return self

    @property
    def steps(self) -> int:
        """The number of training steps, one for each network."""
        return self.network.steps


def is_detection(recipe: str) -> bool:
    """Whether a recipe, given as JSON, is a detector's."""
    return bool(json.loads(recipe).get("task") == "detect")


def is_detection_recipe(name_or_path: str) -> bool:
    """Whether a name or path is that of a detector's recipe."""
    path = recipe_file(name_or_path, RECIPES)
    try:
        return path.is_file() and read_toml(path).get("task") == "detect"
    except RecipeError:
        return False


def load_detection_recipe(name_or_path: str) -> DetectionRecipe:
    """A recipe by file, or by the name of one that comes with the package; `extends` as in `load_recipe`.

    Raises:
        RecipeError: not found, or not valid.
    """
    return load(name_or_path, DetectionRecipe, RECIPES)
