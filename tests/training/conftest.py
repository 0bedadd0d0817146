"""Fixtures of the trainer's tests, made once per process; what a test changes, it copies first."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from overtone.frequency import Tables
from overtone.models import load, save
from overtone.training.codec.tables import tables_for
from overtone.training.data import Images
from overtone.training.train import train
from tests.training.runs import cascade


@pytest.fixture(scope="session", autouse=True)
def _quick_tables() -> Iterator[None]:
    """Tables of whole runs are fitted with hardly any steps, and once for the same images and settings.

    That more steps make better ones, and that fitting twice gives the same, tests of tables show.
    """
    fit: Callable[..., Tables] = partial(tables_for, effort=0.02)
    fitted: dict[str, Tables] = {}

    def quick(images: Images, *settings: Any, **named: Any) -> Tables:
        key = repr((images.paths, settings, named))
        if key not in fitted:
            fitted[key] = fit(images, *settings, **named)
        return fitted[key]

    with pytest.MonkeyPatch.context() as patch:
        for module in ("export", "calibration.calibrate", "codec.codec_training"):
            patch.setattr(f"overtone.training.{module}.tables_for", quick)
        yield


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory, photograph: NDArray[np.uint8]) -> Path:
    """train/ (12 images each) and val/ (3 each) of two classes, cold and warm."""
    root, rng = tmp_path_factory.mktemp("data") / "images", np.random.default_rng(3)
    for split, count in (("train", 12), ("val", 3)):
        for label, tint in (("cold", 2), ("warm", 0)):
            (root / split / label).mkdir(parents=True)
            for i in range(count):
                tinted = photograph.astype(np.int16) // 2 + rng.integers(0, 40, photograph.shape)
                tinted[..., tint] += 90
                image = Image.fromarray(np.clip(tinted, 0, 255).astype(np.uint8))
                image.save(root / split / label / f"{i}.jpg")
    return root


@pytest.fixture(scope="session")
def two_class_checkpoint(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint, with cold and warm as its first two classes."""
    model, card = load(tiny_checkpoint)
    path = tmp_path_factory.mktemp("checkpoint") / "two.safetensors"
    save(path, model, card.model_copy(update={"classes": ("cold", "warm", *card.classes[2:])}))
    return path


@pytest.fixture(scope="session")
def trained(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a finished run of a tiny cascade; the run's files stand beside it."""
    return train(cascade(), images, tmp_path_factory.mktemp("trained") / "run", workers=0, device="cpu")
