"""Tiny bodies: MobileNetV3-Small at half width, on images of 16 and 32 pixels."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from overtone.models import Body
from overtone.models.bodies import create_rgb
from overtone.training.body_config import BodiesConfig
from overtone.training.data import Augmentation
from overtone.training.optimiser import Optimiser
from overtone.training.quality import Quality
from overtone.training.recipe import Recipe
from overtone.training.step_table import StepTable

NAME = "mobilenetv3_small_050"
LOW, HIGH = Body(name=NAME, pixels=2), Body(name=NAME, pixels=4)
TABLE = StepTable(steps=((90,) * 24, (60,) * 6 + (50,) * 18, (20,) * 24), thresholds=(60, 56, 50), coarse=1.4)


def recipe(weights: str = "", epochs: tuple[int, int] = (1, 1), **optimiser: object) -> Recipe:
    settings = {"kind": "adamw", "lr": 1e-3, "batch": 8, "warmup": 0.5, "clip": 3.0} | optimiser
    return Recipe(
        name="bodies",
        size=64,
        epochs=epochs,
        network=BodiesConfig(low=LOW, high=HIGH, weights=weights),
        optimiser=Optimiser.model_validate(settings),
        augment=Augmentation(scale=(0.5, 1.0), colour=0.2),
        quality=Quality(table=TABLE),
    )


def weights_file(folder: Path, classes: int = 5) -> Path:
    """Weights of the tiny body as somebody may have published them."""
    torch.manual_seed(3)
    path = folder / f"tiny-{classes}.safetensors"
    save_file(create_rgb(HIGH, classes).network.state_dict(), path)
    return path
