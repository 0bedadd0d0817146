"""Files of detectors: safetensors with the recipe, the classes, and the profile that devices encode with."""

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from overtone.frequency import Profile
from overtone.models.checkpoint import CheckpointError, stored
from overtone.models.detection.detector import Detector, PixelDetector, build
from overtone.training.detection.recipe import DetectionRecipe

KEY = "detector"


@dataclass(frozen=True)
class Trained:
    """A trained detector in eval mode; one on pixels has no profile."""

    detector: Detector | PixelDetector
    recipe: DetectionRecipe
    classes: tuple[str, ...]
    profile: Profile | None


def save(path: Path, trained: Trained) -> None:
    """Write a detector to one file, atomically, with its larger weights as float16."""
    state = trained.detector.state_dict().items()
    tensors = {k: stored(v, half=True) for k, v in state if not k.endswith("num_batches_tracked")}
    meta = {KEY: trained.recipe.model_dump_json(), "classes": json.dumps(trained.classes)}
    if trained.profile:
        meta["profile"] = trained.profile.to_json()
    temporary = path.with_suffix(".part")
    save_file(tensors, temporary, meta)
    temporary.chmod(0o644)
    temporary.replace(path)


def is_detector(path: Path) -> bool:
    """Whether a file is one that `save` wrote."""
    try:
        with safe_open(path, "pt") as file:
            return KEY in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def load(path: Path) -> Trained:
    """A detector on the CPU.

    Raises:
        CheckpointError: not a file that `save` wrote, or a damaged one.
    """
    try:
        with safe_open(path, "pt") as file:
            meta = file.metadata() or {}
            tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
        recipe, classes = DetectionRecipe.model_validate_json(meta[KEY]), tuple(json.loads(meta["classes"]))
        detector = build(recipe.network.architecture(len(classes)))
        counters = {k: v for k, v in detector.state_dict().items() if k.endswith("num_batches_tracked")}
        detector.load_state_dict(counters | tensors)
        profile = Profile.from_json(meta["profile"]) if "profile" in meta else None
    except KeyError as error:
        raise CheckpointError(f"{path}: not a detector ({error} is missing)") from None
    except (SafetensorError, ValidationError, RuntimeError, OSError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error})") from error
    detector.eval()
    return Trained(detector, recipe, classes, profile)
