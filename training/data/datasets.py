"""Data sets: a folder with a sub-folder per class, or a set that torchvision downloads by its name."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from overtone.cache_folder import cache_folder
from overtone.models.torch_vision import torchvision
from overtone.training.data.downloads import DownloadError, download
from overtone.training.data.images import DataError, Images, read_folder


@dataclass(frozen=True)
class DataSet:
    """The splits of a data set: `train` to learn from, `val` to report on, None if the data has none."""

    name: str
    train: Images
    val: Images | None


@dataclass(frozen=True)
class TorchvisionSource:
    """A data set of torchvision: its class, the folder it unpacks to, and its splits for train and val."""

    dataset: str
    folder: str
    train: tuple[str, ...]
    val: str

    def open(self, root: Path, split: str, download: bool) -> Any:
        """torchvision's own data set of a split."""
        size = {"size": "320px"} if self.dataset == "Imagenette" else {}
        return getattr(torchvision().datasets, self.dataset)(root, split, download=download, **size)


# The splits train and val of Flowers102 have ten images per class each, so the large test split serves as val.
SOURCES = {
    "imagenette": TorchvisionSource("Imagenette", "imagenette2-320", ("train",), "val"),
    "flowers102": TorchvisionSource("Flowers102", "flowers-102", ("train", "val"), "test"),
    "oxfordiiitpet": TorchvisionSource("OxfordIIITPet", "oxford-iiit-pet", ("trainval",), "test"),
    "food101": TorchvisionSource("Food101", "food-101", ("train",), "test"),
}


def is_data(name_or_folder: str | Path) -> bool:
    """Whether there is such a folder, or a set of that name."""
    return Path(name_or_folder).is_dir() or str(name_or_folder).lower() in SOURCES


def open_data(
    name_or_folder: str | Path,
    classes: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    root: Path | None = None,
) -> DataSet:
    """A folder (with train/ and val/, or just a sub-folder per class), otherwise a set by name.

    `classes` and `labels` are a checkpoint's, in the order of its logits; by default the data's own.

    Raises:
        DataError: no such folder or set, or one that cannot be trained on.
        DownloadError: the set is not here and could not be downloaded.
    """
    folder, name = Path(name_or_folder), str(name_or_folder).lower()
    if folder.is_dir():
        return _open_folder(folder, classes, labels)
    if name not in SOURCES:
        raise DataError(
            f"{name_or_folder}: no such folder or data set; give a folder with train/ and val/, "
            f"a sub-folder of images per class in each, or one of {', '.join(SOURCES)}"
        )
    return _open_source(name, SOURCES[name], root or cache_folder(), classes, labels)


def _open_folder(folder: Path, classes: Sequence[str] | None, labels: Sequence[str] | None) -> DataSet:
    has_val = (folder / "val").is_dir()
    if has_val and not (folder / "train").is_dir():
        raise DataError(f"{folder}: has val/ but no train/; give the folder that holds both")
    inner = folder / "train"
    train = read_folder(inner if inner.is_dir() else folder, classes, labels)
    val = read_folder(folder / "val", classes or train.classes, labels) if has_val else None
    return DataSet(folder.resolve().name, train, val)


def _open_source(
    name: str,
    source: TorchvisionSource,
    root: Path,
    classes: Sequence[str] | None,
    labels: Sequence[str] | None,
) -> DataSet:
    download(name, source.folder, root, lambda place: source.open(place, source.train[0], True))
    if name == "imagenette":
        # It has a folder per class, whose names every other copy of it shares.
        return replace(_open_folder(root / source.folder, classes, labels), name=name)
    *train, val = (_images(source.open(root, split, False)) for split in (*source.train, source.val))
    order = tuple(classes) if classes is not None else val.classes
    index = {c: i for names in (labels or (), order) for i, c in enumerate(names)}
    if unknown := set(val.classes) - set(index):
        raise DataError(f"{name}: classes {sorted(unknown)} are not among {list(order)}")

    def joined(parts: Sequence[Images]) -> Images:
        paths = tuple(path for p in parts for path in p.paths)
        return Images(paths, tuple(index[p.classes[t]] for p in parts for t in p.targets), order)

    found = DataSet(name, joined(train), joined([val]))
    missing = [path for path in found.train.paths + val.paths if not path.is_file()]
    if missing:
        raise DownloadError(
            f"{name}: {len(missing)} images are missing, {missing[0]} first; delete {root / source.folder}"
        )
    return found


def _images(found: Any) -> Images:
    """The paths and targets, which torchvision keeps in private attributes."""
    paths = found._images if hasattr(found, "_images") else found._image_files
    return Images(tuple(map(Path, paths)), tuple(map(int, found._labels)), tuple(found.classes))
