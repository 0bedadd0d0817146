"""`overtone evaluate` for detectors."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from overtone.frequency import Profile
from overtone.models import CardError, choose_device
from overtone.models.detection.card import DetectorAccuracy, DetectorCard
from overtone.models.detection.detections import Detections
from overtone.models.detection.detector import Detector, PixelDetector
from overtone.models.detection.operating_point import DetectionPoint
from overtone.models.detection.region_network import RegionNetwork
from overtone.training.data import DataError
from overtone.training.detection import detector_file
from overtone.training.detection.average_precision import Scores, measure
from overtone.training.detection.detector_file import TrainedDetector
from overtone.training.detection.pictures import Pictures, read_pictures
from overtone.training.detection.predictions import (
    CodedBatch,
    after_layers,
    coded_batches,
    in_pictures,
    predict_squares,
)
from overtone.training.detection.region_answers import RegionCascade, missed
from overtone.training.transform import BlockDCT

Json = dict[str, Any]
# The fields of `Scores`, with the names of their columns in tables.
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
    operating_point: str | None = None,
    split_name: str = "val",
    unquantised: bool = False,
    as_json: bool = False,
    workers: int = 0,
    device: str = "auto",
) -> None:
    """Measure a detector on a split, at one quality or several, and show the results.

    Measured are the answers after every layer, the cascade's at an operating point if the file is a checkpoint, and
    with `unquantised` those of the high network to coefficients that are not quantised.

    Raises:
        CardError: no such operating point, or a file that has none; or `unquantised` with a detector on pixels.
        DataError: no such split, or pictures of other classes.
        ProfileError: no such quality.
    """
    trained = detector_file.load(file)
    if operating_point and trained.card is None:
        raise CardError(f"{file}: has no operating points; `overtone calibrate` gives it some")
    if unquantised and isinstance(trained.detector, PixelDetector):
        raise CardError(f"{file}: reads pixels, which are never quantised")
    pictures = pictures_for(trained, data, split_name)
    trained.detector.to(choose_device(device), memory_format=torch.channels_last)  # type: ignore[call-overload]
    head: Json = {"checkpoint": trained.name, "n": len(pictures), "size": trained.size}
    if isinstance(trained.detector, PixelDetector) or trained.profile is None:
        found = _of_squares(trained.detector.networks[-1], Tensor.float, pictures, trained.size, workers)
        rows: list[Json] = [{"quality": None, "both": found}]
    else:
        profile = trained.profile
        asked = profile.qualities if every_quality else tuple(qualities) or (profile.quality,)
        points = [_point(trained.card, operating_point, quality) for quality in asked]
        for quality in asked:
            profile.index(quality)
        rows = [
            _at_quality(trained.detector, pictures, profile, quality, point, workers)
            for quality, point in zip(asked, points, strict=True)
        ]
        if unquantised:
            dct = BlockDCT(profile.low + profile.high).to(choose_device(device))
            high = trained.detector.networks[-1]
            rows[0]["unquantised"] = _of_squares(high, dct, pictures, profile.size, workers)
    if as_json:
        print(json.dumps(head | rows[0] | ({"qualities": rows} if len(rows) > 1 else {})))
    else:
        title = f"{trained.name} on {data.name}/{split_name}: {len(pictures)} pictures"
        Console().print(_table(title, rows))


def pictures_for(trained: TrainedDetector, data: Path, split_name: str) -> Pictures:
    """The pictures of a split for a detector.

    Raises:
        DataError: no such split, or pictures of other classes.
    """
    pictures = read_pictures(data, split_name)
    if pictures.classes != trained.classes:
        raise DataError(f"{data}: has classes {', '.join(pictures.classes)}, not those of {trained.name}")
    return pictures


def accuracy_of(
    detector: Detector, card: DetectorCard, pictures: Pictures, data: str, workers: int = 0
) -> DetectorAccuracy:
    """The card's accuracy at its default quality and operating point, on the pictures of `data`."""
    point = card.point()
    row = _at_quality(detector, pictures, card.profile, card.profile.quality, point, workers)
    layers, cascade = row["layers"], row["cascade"]
    totals = [layer["mean_payload_bytes"] for layer in layers]
    masks = [layer["mask_ap50"] for layer in layers if layer["mask_ap50"] is not None]
    return DetectorAccuracy(
        data=data,
        n=len(pictures),
        quality=card.profile.quality,
        operating_point=point.name,
        ap50=tuple(layer["ap50"] for layer in layers),
        mask_ap50=tuple(masks),
        sizes=tuple(b - a for a, b in pairwise([0.0, *totals])),
        cascade=cascade["ap50"],
        mask_cascade=cascade["mask_ap50"],
        mean_bytes=cascade["mean_payload_bytes"],
        escalation_share=cascade["escalation_share"],
        block_share=cascade["block_share"],
    )


def _point(card: DetectorCard | None, name: str | None, quality: int) -> DetectionPoint | None:
    return card.point(name, quality) if card else None


def _at_quality(
    detector: Detector,
    pictures: Pictures,
    profile: Profile,
    quality: int,
    point: DetectionPoint | None,
    workers: int,
) -> Json:
    """The scores after every layer (`low` is the first, `both` the last) and of the cascade."""
    batches = list(coded_batches(detector, pictures, profile, quality, workers))
    entries, sent = [], 0.0
    for layer in after_layers(batches, pictures, profile.size):
        sent += float(layer.sizes.mean())
        entries.append(_entry(_scores(layer.found, pictures), sent))
    row: Json = {"quality": quality, "low": entries[0], "both": entries[-1], "layers": entries}
    if point is None:
        return row
    return row | {"cascade": _of_cascade(RegionCascade(detector, profile, quality), batches, pictures, point)}


def _of_cascade(
    cascade: RegionCascade, batches: Sequence[CodedBatch], pictures: Pictures, point: DetectionPoint
) -> Json:
    """The scores of the cascade at an operating point, its bytes, and the shares of pictures and blocks requested."""
    answers = [found for batch in batches for (found,) in cascade.answers(batch, [point])]
    scores = _scores(in_pictures([a.found for a in answers], pictures, cascade.profile.size), pictures)
    full = [found for batch in batches for found in batch.found[-1]]
    return _entry(scores, _mean(a.sent for a in answers)) | {
        "operating_point": point.name,
        "escalation_share": _mean(a.share > 0 for a in answers),
        "block_share": _mean(a.share for a in answers),
        "missed": _mean(missed(a.found, f, point.shown) for a, f in zip(answers, full, strict=True)),
    }


def _of_squares(
    network: RegionNetwork, read: Callable[[Tensor], Tensor], pictures: Pictures, size: int, workers: int
) -> Json:
    """The scores of a network, for which `read` turns squares uint8[N, 3, size, size] into inputs."""
    device = next(network.parameters()).device

    def run(rgb: Tensor, extents: Tensor) -> list[Detections]:
        x = read(rgb.to(device)).contiguous(memory_format=torch.channels_last)
        return list(network(x, extents))

    return _entry(_scores(predict_squares(run, pictures, size, workers), pictures), None)


def _scores(found: Sequence[Detections], pictures: Pictures) -> Scores:
    return measure(pictures, found, pictures.has_masks and all(each.masks is not None for each in found))


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _entry(scores: Scores, mean_bytes: float | None) -> Json:
    return {k: v for k, v in asdict(scores).items() if k != "n"} | {"mean_payload_bytes": mean_bytes}


def _table(title: str, rows: Sequence[Json]) -> Table:
    columns = {key: name for key, name in COLUMNS.items() if rows[0]["both"][key] is not None}
    table = Table(title=f"{title} (%)", box=None)
    for name in ("quality", "layers", "bytes", *columns.values()):
        table.add_column(name, justify="right")
    for row in rows:
        for name, entry in _named(row):
            sent = entry["mean_payload_bytes"]
            table.add_row(
                str(row["quality"] or "-"),
                name,
                "-" if sent is None else f"{sent:.0f}",
                *("-" if entry[key] < 0 else f"{100 * entry[key]:.1f}" for key in columns),
            )
    return table


def _named(row: Json) -> list[tuple[str, Json]]:
    """The entries of a quality, by the layers that they have."""
    entries = row.get("layers", [row["both"]])
    found = [(str(number), entry) for number, entry in enumerate(entries, 1)]
    if cascade := row.get("cascade"):
        share = f"{cascade['block_share']:.0%} of the blocks"
        found.append((f"{cascade['operating_point']}: {share}", cascade))
    if exact := row.get("unquantised"):
        found.append(("not quantised", exact))
    return found
