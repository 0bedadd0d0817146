"""A recipe that trains in seconds."""

from overtone.training.detection.augmentation import SceneAugmentation
from overtone.training.detection.recipe import DetectionRecipe, DetectorConfig, PixelDetectorConfig
from overtone.training.optimiser import Optimiser
from overtone.training.quality import Quality
from tests.models.detection.tiny_detector import HEAD, HIGH, LOW, MASKS

STILL = SceneAugmentation(crop=0, scale=(1.0, 1.0), flip=0, colour=0)


def recipe(epochs: tuple[int, int] = (1, 1), masks: bool = False, **optimiser: object) -> DetectionRecipe:
    settings = {"kind": "adamw", "lr": 2e-3, "batch": 4, "warmup": 0.5, "clip": 5.0} | optimiser
    return DetectionRecipe(
        name="tiny",
        size=64,
        epochs=epochs,
        progressive=((0.5, 48),),
        network=DetectorConfig(low=LOW, high=HIGH, head=MASKS if masks else HEAD),
        optimiser=Optimiser.model_validate(settings),
        quality=Quality(steps=(64, 32, 16)),
        frozen_norms=False,
    )


def twin(epochs: int = 1) -> DetectionRecipe:
    network = PixelDetectorConfig(features=HIGH, head=HEAD)
    return recipe().model_copy(update={"name": "twin", "network": network, "epochs": (epochs,)})
