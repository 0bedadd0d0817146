"""What `overtone evaluate` does with a detector."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from overtone.frequency import Profile
from overtone.models import choose_device
from overtone.models.detection.detections import Detections
from overtone.models.detection.detector import Detector, PixelDetector
from overtone.training.data import DataError
from overtone.training.detection import detector_file
from overtone.training.detection.average_precision import Scores, measure
from overtone.training.detection.pictures import Pictures, read_pictures
from overtone.training.detection.predictions import predict, predict_squares

Json = dict[str, Any]
# Average precisions as tables call them.
COLUMNS = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_small": "small",
    "ap_medium": "medium",
    "ap_large": "large",
    "voc50": "VOC50",
    "mask_ap": "mask AP",
    "mask_ap50": "mask AP50",
}


def evaluate_detector(
    file: Path,
    data: Path,
    *,
    qualities: Sequence[int] = (),
    every_quality: bool = False,
    split_name: str = "val",
    as_json: bool = False,
    workers: int = 0,
    device: str = "auto",
) -> None:
    """Measure a detector on a split after every layer, at one quality or several, and show the results.

    Raises:
        DataError: no such split, or pictures of other classes.
        ProfileError: no such quality.
    """
    trained = detector_file.load(file)
    pictures = read_pictures(data, split_name)
    if pictures.classes != trained.classes:
        raise DataError(f"{data}: has classes {', '.join(pictures.classes)}, not those of {file.name}")
    trained.detector.to(choose_device(device), memory_format=torch.channels_last)  # type: ignore[call-overload]
    head: Json = {"checkpoint": trained.recipe.name, "n": len(pictures), "size": trained.recipe.size}
    if isinstance(trained.detector, PixelDetector) or trained.profile is None:
        rows = [_of_pixels(trained.detector, pictures, trained.recipe.size, workers)]
    else:
        profile = trained.profile
        asked = profile.qualities if every_quality else tuple(qualities) or (profile.quality,)
        for quality in asked:
            profile.index(quality)
        rows = [_at_quality(trained.detector, pictures, profile, quality, workers) for quality in asked]
    if as_json:
        print(json.dumps(head | rows[0] | ({"qualities": rows} if len(rows) > 1 else {})))
    else:
        Console().print(
            _table(f"{trained.recipe.name} on {data.name}/{split_name}: {len(pictures)} pictures", rows)
        )


def _at_quality(detector: Detector, pictures: Pictures, profile: Profile, quality: int, workers: int) -> Json:
    """The scores after every layer; `low` is the first and `both` has all layers."""
    layers = predict(detector, pictures, profile, quality, workers)
    entries, sent = [], 0.0
    for layer in layers:
        sent += float(layer.sizes.mean())
        entries.append(_entry(measure(pictures, layer.found, _has_masks(layer.found, pictures)), sent))
    return {"quality": quality, "low": entries[0], "both": entries[-1], "layers": entries}


def _of_pixels(detector: Detector | PixelDetector, pictures: Pictures, size: int, workers: int) -> Json:
    """The scores of a network that reads whole pictures as they are."""
    device = next(detector.parameters()).device

    def run(rgb: Tensor, extents: Tensor) -> list[Detections]:
        x = rgb.to(device).float().contiguous(memory_format=torch.channels_last)
        return list(detector.networks[-1](x, extents))

    found = predict_squares(run, pictures, size, workers)
    return {"quality": None, "both": _entry(measure(pictures, found, _has_masks(found, pictures)), None)}


def _has_masks(found: Sequence[Detections], pictures: Pictures) -> bool:
    return pictures.has_masks and all(each.masks is not None for each in found)


def _entry(scores: Scores, mean_bytes: float | None) -> Json:
    return {k: v for k, v in asdict(scores).items() if k != "n"} | {"mean_payload_bytes": mean_bytes}


def _table(title: str, rows: Sequence[Json]) -> Table:
    columns = {key: name for key, name in COLUMNS.items() if rows[0]["both"][key] is not None}
    table = Table(title=f"{title} (%)", box=None)
    for name in ("quality", "layers", "bytes", *columns.values()):
        table.add_column(name, justify="right")
    for row in rows:
        for number, entry in enumerate(row.get("layers", [row["both"]]), 1):
            sent = entry["mean_payload_bytes"]
            table.add_row(
                str(row["quality"] or "-"),
                str(number),
                "-" if sent is None else f"{sent:.0f}",
                *("-" if entry[key] < 0 else f"{100 * entry[key]:.1f}" for key in columns),
            )
    return table
