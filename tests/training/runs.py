"""Tiny runs, for the tests of everything that trains."""

from collections.abc import Callable
from pathlib import Path

import torch

from overtone.training.data import Augmentation, read_split, split
from overtone.training.network_configs import BaselineConfig, CascadeConfig, NetworkConfig
from overtone.training.optimiser import Optimiser
from overtone.training.quality import Quality
from overtone.training.recipe import Recipe
from overtone.training.run_log import Epoch
from overtone.training.trainer import Trainer

CPU = torch.device("cpu")
LAYERS = (1, 1, 1, 1)
BASELINE = BaselineConfig(width=1 / 16, stem=16, layers=LAYERS)


def cascade(structure: int = 3, epochs: tuple[int, int] = (2, 2), **optimiser: float) -> Recipe:
    network = CascadeConfig(structure=structure, low_width=1 / 16, high_width=1 / 16, stem=8, layers=LAYERS)
    return recipe(network, epochs, 64, **optimiser)


def recipe(network: NetworkConfig, epochs: tuple[int, ...], size: int = 64, **optimiser: float) -> Recipe:
    settings = {"lr": 0.05, "batch": 8, "warmup": 0.5, "label_smoothing": 0.1} | optimiser
    return Recipe(
        name="tiny",
        size=size,
        epochs=epochs,
        progressive=((0.5, size - 16),),
        network=network,
        optimiser=Optimiser.model_validate(settings),
        augment=Augmentation(scale=(0.5, 1.0)),
        quality=Quality(steps=(64, 32)),
    )


def trainer(
    chosen: Recipe, images: Path, folder: Path, on_epoch: Callable[[Epoch], object] = lambda line: None
) -> Trainer:
    train, calibration = split(read_split(images, "train"), 0.25)
    return Trainer(chosen, train, calibration, folder, CPU, 0, on_epoch)


def weights_of(chosen: Recipe, images: Path, folder: Path) -> dict[str, torch.Tensor]:
    """Trained weights, from the last finished epoch on."""
    return dict(trainer(chosen, images, folder).run().module.state_dict())


class InterruptError(Exception):
    """What ends an interrupted run."""


def interrupt(chosen: Recipe, images: Path, folder: Path, after: int) -> None:
    """Train until this many epochs are finished."""
    left = iter(range(after - 1, -1, -1))

    def count(_: Epoch) -> None:
        if not next(left):
            raise InterruptError

    try:
        trainer(chosen, images, folder, count).run()
    except InterruptError:
        return
    raise AssertionError(f"fewer than {after} epochs")


def assert_same(
    a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], rtol: float = 0, atol: float = 0
) -> None:
    assert a.keys() == b.keys()
    for key, value in a.items():
        assert torch.allclose(b[key], value, rtol=rtol, atol=atol, equal_nan=True), key
