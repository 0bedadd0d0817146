"""Files of trained detectors: checkpoints, and files of detectors that are not, or not yet, checkpoints.

The latter are safetensors files with the recipe, the classes and the profile. A detector on pixels has no profile, and
one whose networks are not all trained has no operating points.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError

from overtone.frequency import Profile
from overtone.models.checkpoint import (
    DETECTOR_KEY,
    CheckpointError,
    metadata_of,
    tensors_of,
    weights_of,
    write_tensors,
)
from overtone.models.detection.card import DetectorCard
from overtone.models.detection.checkpoint import load_detector, read_detector_card
from overtone.models.detection.detector import Detector, PixelDetector, build
from overtone.training.detection.recipe import DetectionRecipe

KEY = "detector"


@dataclass(frozen=True)
class TrainedDetector:
    """A trained detector in eval mode, with what its file holds beside the weights.

    Attributes:
        detector: the networks.
        recipe: of the run; None for a checkpoint whose card does not record one.
        classes: the names of the classes.
        profile: None for a detector on pixels.
        card: None unless the file is a checkpoint.
    """

    detector: Detector | PixelDetector
    recipe: DetectionRecipe | None
    classes: tuple[str, ...]
    profile: Profile | None
    card: DetectorCard | None = None

    @property
    def name(self) -> str:
        """The name of the checkpoint, or of the recipe."""
        return self.card.name if self.card else self._recipe.name

    @property
    def size(self) -> int:
        """Side in pixels of the square that the detector reads."""
        return self.profile.size if self.profile else self._recipe.size

    @property
    def _recipe(self) -> DetectionRecipe:
        assert self.recipe is not None
        return self.recipe


def save(path: Path, trained: TrainedDetector) -> None:
    """Write a detector with its recipe to one file, atomically, with its larger weights as float16."""
    assert trained.recipe is not None
    meta = {KEY: trained.recipe.model_dump_json(), "classes": json.dumps(trained.classes)}
    if trained.profile:
        meta["profile"] = trained.profile.to_json()
    write_tensors(path, weights_of(trained.detector, half=True), meta)


def is_detector(path: Path) -> bool:
    """Whether a file is a checkpoint of a detector, or one that `save` wrote."""
    try:
        meta = metadata_of(path)
    except CheckpointError:
        return False
    return KEY in meta or DETECTOR_KEY in meta


def read_description(path: Path) -> tuple[DetectionRecipe | None, tuple[str, ...]]:
    """The recipe (None if it is not recorded) and the classes of a detector's file, without reading the weights.

    Raises:
        CheckpointError: not the file of a detector, or a damaged one.
    """
    meta = metadata_of(path)
    if DETECTOR_KEY in meta:
        card = read_detector_card(path, stale=True)
        return _recipe_of(card), card.classes
    try:
        return DetectionRecipe.model_validate_json(meta[KEY]), tuple(json.loads(meta["classes"]))
    except KeyError as error:
        raise CheckpointError(f"{path}: not a detector ({error} is missing)") from None
    except ValidationError as error:
        raise CheckpointError(f"{path}: cannot be read ({error})") from error


def load(path: Path, *, stale: bool = False) -> TrainedDetector:
    """A detector on the CPU; `stale` as in `models.read_card`.

    Raises:
        CheckpointError: not the file of a detector, or a damaged one.
    """
    meta = metadata_of(path)
    if DETECTOR_KEY in meta:
        model, card = load_detector(path, stale=stale)
        return TrainedDetector(model, _recipe_of(card), card.classes, card.profile, card)
    recipe, classes = read_description(path)
    assert recipe is not None
    try:
        detector = build(recipe.network.architecture(len(classes)))
        counters = {k: v for k, v in detector.state_dict().items() if k.endswith("num_batches_tracked")}
        detector.load_state_dict(counters | {k: v.float() for k, v in tensors_of(path).items()})
        profile = Profile.from_json(meta["profile"]) if "profile" in meta else None
    except (SafetensorError, RuntimeError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error})") from error
    detector.eval()
    return TrainedDetector(detector, recipe, classes, profile)


def _recipe_of(card: DetectorCard) -> DetectionRecipe | None:
    return DetectionRecipe.model_validate_json(card.training.recipe) if card.training else None
