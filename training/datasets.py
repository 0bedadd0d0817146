"""Data to train on: a folder with a sub-folder per class, or a set that torchvision fetches by its name."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from overtone.training.data import DataError, Pictures, part, read_folder
from overtone.training.vision import FetchError, fetch, torchvision


@dataclass(frozen=True)
class Data:
    """What to train on and what to report on; `val` is None where the data has no such part."""

    name: str
    train: Pictures
    val: Pictures | None


@dataclass(frozen=True)
class Fetched:
    """A set of torchvision's: the folder it unpacks, and how its parts are called there."""

    folder: str
    open: Callable[[Path, str, bool], Any]
    train: tuple[str, ...]
    val: str


def _imagenette(root: Path, split: str, download: bool) -> Any:
    return torchvision().datasets.Imagenette(root, split, "320px", download)


def _flowers(root: Path, split: str, download: bool) -> Any:
    return torchvision().datasets.Flowers102(root, split, download=download)


def _pets(root: Path, split: str, download: bool) -> Any:
    return torchvision().datasets.OxfordIIITPet(root, split, download=download)


def _food(root: Path, split: str, download: bool) -> Any:
    return torchvision().datasets.Food101(root, split, download=download)


# Flowers102's own train and val are ten pictures a class each; its test part, most of the set, is reported.
SETS = {
    "imagenette": Fetched("imagenette2-320", _imagenette, ("train",), "val"),
    "flowers102": Fetched("flowers-102", _flowers, ("train", "val"), "test"),
    "oxfordiiitpet": Fetched("oxford-iiit-pet", _pets, ("trainval",), "test"),
    "food101": Fetched("food-101", _food, ("train",), "test"),
}


def home() -> Path:
    """Where fetched sets are kept, by the XDG base directory convention."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "overtone"


def open_data(
    name_or_dir: str | Path,
    classes: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    root: Path | None = None,
) -> Data:
    """A folder (with train/ and val/, or just a sub-folder per class), else a set by name, fetched once.

    `classes` and `labels` are a checkpoint's, in the order its network answers in; left out, the data's own.

    Raises:
        DataError: no such folder or set, or not one that can be trained on.
        FetchError: the set is not here and could not be fetched.
    """
    folder = Path(name_or_dir)
    if folder.is_dir():
        return _open_folder(folder, classes, labels)
    known = SETS.get(str(name_or_dir).lower())
    if known is None:
        raise DataError(
            f"{name_or_dir}: no such folder or data set; give a folder with train/ and val/, "
            f"a sub-folder of pictures per class in each, or one of {', '.join(SETS)}"
        )
    return _open_set(str(name_or_dir).lower(), known, root or home(), classes, labels)


def _open_folder(folder: Path, classes: Sequence[str] | None, labels: Sequence[str] | None) -> Data:
    has_val = (folder / "val").is_dir()
    if has_val and not (folder / "train").is_dir():
        raise DataError(f"{folder}: has val/ but no train/; give the folder that holds both")
    train = part(folder, "train", classes, labels)
    val = read_folder(folder / "val", classes or train.classes, labels) if has_val else None
    return Data(folder.resolve().name, train, val)


def _open_set(
    name: str, known: Fetched, root: Path, classes: Sequence[str] | None, labels: Sequence[str] | None
) -> Data:
    fetch(name, known.folder, root, lambda place: known.open(place, known.train[0], True))
    if name == "imagenette":
        # It is laid out as a folder per class, and so keeps the class names of any other copy of it.
        return replace(_open_folder(root / known.folder, classes, labels), name=name)
    parts = [_pictures(known.open(root, split, False)) for split in (*known.train, known.val)]
    own = parts[0].classes
    order = tuple(classes) if classes is not None else own
    index = {c: i for names in (labels or (), order) for i, c in enumerate(names)}
    if missing := set(own) - set(index):
        raise DataError(f"{name}: classes {sorted(missing)} are not among {list(order)}")
    parts = [Pictures(p.paths, tuple(index[own[t]] for t in p.targets), order) for p in parts]
    whole = Pictures(sum((p.paths for p in parts[:-1]), ()), sum((p.targets for p in parts[:-1]), ()), order)
    lost = [path for p in parts for path in p.paths if not path.is_file()]
    if lost:
        raise FetchError(
            f"{name}: {len(lost)} pictures are missing, {lost[0]} first; delete {root / known.folder}"
        )
    return Data(name, whole, parts[-1])


def _pictures(found: Any) -> Pictures:
    """The paths and targets that a torchvision set keeps to itself."""
    paths = found._images if hasattr(found, "_images") else found._image_files
    return Pictures(tuple(map(Path, paths)), tuple(map(int, found._labels)), tuple(found.classes))
