"""The splits of a data set. The calibration split is held out of `train`, so that `val` is only reported."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from overtone.training.data.datasets import open_data
from overtone.training.data.images import DataError, Images, read_folder

SPLITS = ("val", "train", "calibration")
CALIBRATION_SHARE = 0.1


def split(images: Images, share: float = CALIBRATION_SHARE, seed: int = 0) -> tuple[Images, Images]:
    """(train, calibration): the same share of every class is held out, drawn from the seed."""
    rng = np.random.default_rng(seed)
    targets = np.array(images.targets)
    held: set[int] = set()
    for target in range(len(images.classes)):
        of_class = np.flatnonzero(targets == target)
        held.update(rng.permutation(of_class)[: round(share * len(of_class))].tolist())
    train = [i for i in range(len(images)) if i not in held]
    return images.take(train), images.take(sorted(held))


def read_split(
    data: Path, name: str, classes: Sequence[str] | None = None, labels: Sequence[str] | None = None
) -> Images:
    """The images of a split: `train` (calibration included), `calibration` or `val`.

    `data` is a folder or the name of a set that can be fetched. A folder without the sub-folder `name` is
    itself the split. Targets follow the order of `classes`, which may have more classes than the folder.

    Raises:
        DataError: no such split or data, or unknown classes.
    """
    if name not in SPLITS:
        raise DataError(f"no split {name!r}; there are {', '.join(SPLITS)}")
    if name == "calibration":
        return split(read_split(data, "train", classes, labels))[1]
    if data.is_dir():
        inner = data / name
        return read_folder(inner if inner.is_dir() else data, classes, labels)
    found = open_data(data, classes, labels)
    return found.train if name == "train" else found.val or found.train
