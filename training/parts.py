"""The part of some data that a checkpoint is measured on."""

from collections.abc import Sequence
from pathlib import Path

from overtone.training.data import DataError, Pictures, part, split
from overtone.training.datasets import open_data

PARTS = ("val", "train", "calibration")


def read_part(data: Path, name: str, classes: Sequence[str], labels: Sequence[str]) -> Pictures:
    """The pictures of a part, their targets in the order of a checkpoint's classes.

    `data` is a folder or the name of a set that can be fetched. A folder without parts is itself the part;
    some of the classes are enough.

    Raises:
        DataError: no such part or data, or classes that the checkpoint does not know.
    """
    if name not in PARTS:
        raise DataError(f"no part {name!r}; there are {', '.join(PARTS)}")
    if not data.is_dir():
        return _fetched(data, name, classes, labels)
    if name == "calibration":
        return split(part(data, "train", classes, labels))[1]
    return part(data, name, classes, labels)


def _fetched(data: Path, name: str, classes: Sequence[str], labels: Sequence[str]) -> Pictures:
    found = open_data(data, classes, labels)
    if name == "val":
        return found.val or found.train
    return found.train if name == "train" else split(found.train)[1]
