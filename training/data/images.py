"""Labelled images as paths and class indices, read from a folder with a sub-folder per class."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})


class DataError(ValueError):
    """A folder that cannot be trained on or evaluated; the message says what was expected."""


@dataclass(frozen=True)
class Images:
    """Paths and class indices; `classes` are the names of the class folders, in order."""

    paths: tuple[Path, ...]
    targets: tuple[int, ...]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, indices: Sequence[int]) -> "Images":
        """The images at these indices."""
        return Images(
            tuple(self.paths[i] for i in indices), tuple(self.targets[i] for i in indices), self.classes
        )

    def spread(self, most: int) -> "Images":
        """At most this many images, evenly spaced over all of them (and so over the classes)."""
        return self.take(range(0, len(self), max(1, -(-len(self) // most))))


def read_folder(
    folder: Path, classes: Sequence[str] | None = None, labels: Sequence[str] | None = None
) -> Images:
    """All images below `folder`, one sub-folder per class, in a fixed order.

    A sub-folder is named as in `classes`, or as in `labels`, which run in the same order.

    Raises:
        DataError: no such folder, no images, or a class that is in neither list.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give one with a sub-folder of images per class")
    found = sorted(d.name for d in folder.iterdir() if d.is_dir() and not d.name.startswith("."))
    names = tuple(classes) if classes is not None else tuple(found)
    index = {name: i for names_ in (labels or (), names) for i, name in enumerate(names_)}
    unknown = set(found) - set(index)
    if unknown:
        raise DataError(f"{folder}: classes {sorted(unknown)} are not among {list(names)}")
    paths, targets = [], []
    for name in found:
        files = sorted(p for p in (folder / name).rglob("*") if _is_image(p))
        if not files and classes is None:
            raise DataError(
                f"{folder / name}: no images ({', '.join(sorted(SUFFIXES))}); fill the folder or remove it"
            )
        paths += files
        targets += [index[name]] * len(files)
    if not paths:
        raise DataError(f"{folder}: no images; give a folder with a sub-folder of images per class")
    return Images(tuple(paths), tuple(targets), names)


def read_unlabelled(folder: Path, classes: Sequence[str]) -> Images:
    """All images below `folder`, in any nesting and a fixed order; the targets are all 0.

    Raises:
        DataError: no such folder, or no images.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give one with images, in any sub-folders")
    paths = tuple(sorted(p for p in folder.rglob("*") if _is_image(p)))
    if not paths:
        raise DataError(f"{folder}: no images ({', '.join(sorted(SUFFIXES))})")
    return Images(paths, (0,) * len(paths), tuple(classes))


def _is_image(path: Path) -> bool:
    # Some systems leave hidden files with an image's suffix.
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
