"""Tiny runs, for the tests of everything that trains."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

from overtone.training.data import Augmentation, part, split
from overtone.training.distributed import ALONE, Ranks
from overtone.training.kinds import CascadeNetwork, Gate, MobileNetV2, Network, ResNet50
from overtone.training.recipe import Optimiser, Quality, Recipe
from overtone.training.trainer import Trainer

CPU = torch.device("cpu")
LAYERS = (1, 1, 1, 1)
SINGLES: dict[str, Network] = {
    "rgb": ResNet50(kind="resnet50", input="rgb", width=1 / 16, layers=LAYERS),
    "frequency": ResNet50(kind="resnet50", input=24, width=1 / 16, layers=LAYERS),
    "chosen": ResNet50(kind="resnet50", input=(3, 0, 64), width=1 / 16, layers=LAYERS),
    "mobilenet": MobileNetV2(kind="mobilenetv2", input=6, width=1 / 8),
    "gate": Gate(kind="gate", cost=0.5, width=1 / 16, layers=LAYERS),
}


def cascade(structure: int = 3, epochs: tuple[int, int] = (2, 2), **optimiser: float) -> Recipe:
    network = CascadeNetwork(structure=structure, low_width=1 / 16, high_width=1 / 16, stem=8, layers=LAYERS)
    return recipe(network, epochs, **optimiser)


def recipe(network: Network, epochs: tuple[int, ...], **optimiser: float) -> Recipe:
    settings = {"lr": 0.05, "batch": 8, "warmup": 0.5, "label_smoothing": 0.1} | optimiser
    return Recipe(
        name="tiny",
        size=160 if network.kind == "mobilenetv2" else 64,
        epochs=epochs,
        progressive=((0.5, 144 if network.kind == "mobilenetv2" else 48),),
        network=network,
        optimiser=Optimiser.model_validate(settings),
        augment=Augmentation(scale=(0.5, 1.0)),
        quality=Quality(steps=(64, 32)),
    )


def trainer(
    chosen: Recipe, pictures: Path, folder: Path, ranks: Ranks = ALONE, kind: type[Trainer] = Trainer
) -> Trainer:
    train, calibration = split(part(pictures, "train"), 0.25)
    return kind(chosen, train, calibration, folder, CPU, workers=0, ranks=ranks)


def in_float32(_: torch.device) -> AbstractContextManager[object]:
    """In place of autocast, so that an order of sums is the only thing that two ways may differ in."""
    return nullcontext()


def weights_of(chosen: Recipe, pictures: Path, folder: Path) -> dict[str, torch.Tensor]:
    """Trained weights, from the last finished epoch on."""
    return dict(trainer(chosen, pictures, folder).run().module.state_dict())


def assert_same(
    a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], rtol: float = 0, atol: float = 0
) -> None:
    assert a.keys() == b.keys()
    for key, value in a.items():
        torch.testing.assert_close(b[key], value, rtol=rtol, atol=atol, msg=_named(key))


def _named(key: str) -> Callable[[str], str]:
    return lambda message: f"{key}: {message}"
