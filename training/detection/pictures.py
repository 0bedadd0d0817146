"""Pictures with annotated boxes and masks, read from a folder in COCO's format."""

import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overtone.training.data import DataError, Images
from overtone.training.data.splits import CALIBRATION_SHARE, SPLITS

Floats = NDArray[np.float64]
# A mask as COCO writes it: polygons, or run-lengths.
Segmentation = list[list[float]] | dict[str, Any]


@dataclass(frozen=True)
class Things:
    """The annotated objects of one picture.

    Attributes:
        width, height: of the picture in pixels.
        boxes: float64[n, 4], left, top, right, bottom as fractions of the picture.
        labels: int64[n], class indices.
        crowd: bool[n], whether a box is COCO's `iscrowd`, an unlabelled group.
        areas: float64[n], in pixels.
        segmentations: a mask for each object; empty if there are none.
    """

    width: int
    height: int
    boxes: Floats
    labels: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    areas: Floats
    segmentations: tuple[Segmentation, ...] = ()

    def masks(self) -> NDArray[np.uint8]:
        """The masks as uint8[n, height, width] of 0 and 1."""
        found = [bitmap(each, self.width, self.height) for each in self.segmentations]
        return np.stack(found) if found else np.zeros((0, self.height, self.width), np.uint8)


@dataclass(frozen=True)
class Pictures:
    """Paths of pictures, and the annotated objects of each; `classes` are the category names, ordered by id."""

    paths: tuple[Path, ...]
    things: tuple[Things, ...]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def has_masks(self) -> bool:
        """Whether every object has a mask, and there is at least one."""
        return all(len(t.segmentations) == len(t.boxes) for t in self.things) and any(
            t.segmentations for t in self.things
        )

    @property
    def images(self) -> Images:
        """The pictures without their annotations."""
        return Images(self.paths, (0,) * len(self), self.classes)

    def take(self, indices: Sequence[int]) -> "Pictures":
        """The pictures at these indices."""
        paths = tuple(self.paths[i] for i in indices)
        return Pictures(paths, tuple(self.things[i] for i in indices), self.classes)


def read_pictures(data: Path, split: str) -> Pictures:
    """The pictures of a split: `train`, of which a tenth is `calibration`, or `val`.

    Raises:
        DataError: no such split, or a folder that is not in COCO's format.
    """
    if split not in SPLITS:
        raise DataError(f"no split {split!r}; there are {', '.join(SPLITS)}")
    if split != "val":
        train, calibration = held_out(read_coco(data / "train", data / "train.json"))
        return train if split == "train" else calibration
    return read_coco(data / "val", data / "val.json")


def held_out(
    pictures: Pictures, share: float = CALIBRATION_SHARE, seed: int = 0
) -> tuple[Pictures, Pictures]:
    """(train, calibration): a share of the pictures, drawn from the seed, is held out."""
    order = np.random.default_rng(seed).permutation(len(pictures))
    held, rest = np.split(order, [round(share * len(pictures))])
    return pictures.take(sorted(rest.tolist())), pictures.take(sorted(held.tolist()))


def read_coco(folder: Path, annotations: Path) -> Pictures:
    """The pictures of a folder that a file of annotations lists, in the order of their ids.

    Raises:
        DataError: there is no such file, it is not in COCO's format, or a picture is missing.
    """
    if not annotations.is_file():
        raise DataError(
            f"{annotations}: no such file; a detector needs a folder in COCO's format, with train/, val/, "
            "train.json and val.json"
        )
    try:
        found = json.loads(annotations.read_text("utf-8"))
        pictures = _read(found, folder)
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise DataError(f"{annotations}: not in COCO's format ({type(error).__name__}: {error})") from error
    missing = [path for path in pictures.paths if not path.is_file()]
    if missing or not len(pictures):
        what = f"{len(missing)} pictures are missing, {missing[0]} first" if missing else "lists no pictures"
        raise DataError(f"{annotations}: {what}")
    return pictures


def _read(found: dict[str, Any], folder: Path) -> Pictures:
    categories = sorted(found["categories"], key=lambda each: int(each["id"]))
    index = {each["id"]: i for i, each in enumerate(categories)}
    by_image: dict[Any, list[dict[str, Any]]] = {image["id"]: [] for image in found["images"]}
    for annotation in found["annotations"]:
        # Boxes without an area are mistakes.
        if min(annotation["bbox"][2:]) > 0:
            by_image[annotation["image_id"]].append(annotation)
    images = sorted(found["images"], key=lambda each: each["id"])
    return Pictures(
        tuple(folder / image["file_name"] for image in images),
        tuple(_things(image, by_image[image["id"]], index) for image in images),
        tuple(str(each["name"]) for each in categories),
    )


def _things(image: dict[str, Any], annotations: list[dict[str, Any]], index: dict[Any, int]) -> Things:
    width, height = int(image["width"]), int(image["height"])
    corners = np.array([a["bbox"] for a in annotations], np.float64).reshape(-1, 4)
    corners[:, 2:] += corners[:, :2]
    masks = tuple(a["segmentation"] for a in annotations if a.get("segmentation"))
    return Things(
        width,
        height,
        np.clip(corners / (width, height, width, height), 0, 1),
        np.array([index[a["category_id"]] for a in annotations], np.int64),
        np.array([bool(a.get("iscrowd")) for a in annotations], np.bool_),
        np.array([a.get("area", a["bbox"][2] * a["bbox"][3]) for a in annotations], np.float64),
        masks if len(masks) == len(annotations) else (),
    )


def coco_tools(module: str) -> Any:
    """A module of pycocotools.

    Raises:
        DataError: it is not installed.
    """
    try:
        return importlib.import_module(f"pycocotools.{module}")
    except ModuleNotFoundError:
        raise DataError("detectors need pycocotools: pip install 'overtone[detect]'") from None


def run_lengths(segmentation: Segmentation, width: int, height: int) -> dict[str, Any]:
    """A mask as compressed run-lengths."""
    mask = coco_tools("mask")
    found: dict[str, Any] = segmentation if isinstance(segmentation, dict) else {}
    if isinstance(segmentation, list):
        found = mask.merge(mask.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation["counts"], list):
        found = mask.frPyObjects(segmentation, height, width)
    return found


def bitmap(segmentation: Segmentation, width: int, height: int) -> NDArray[np.uint8]:
    """A mask as uint8[height, width] of 0 and 1."""
    found: NDArray[np.uint8] = coco_tools("mask").decode(run_lengths(segmentation, width, height))
    return found
