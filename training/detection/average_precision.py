"""Average precision of detections: COCO's, computed by pycocotools, and VOC 2007's."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from overtone.models.detection.detections import Detections
from overtone.training.detection.pictures import Pictures, Things, coco_tools, run_lengths

Floats = NDArray[np.float64]
# COCO's names in the order of its statistics; sizes are in pixels of the annotated picture.
COCO = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
VOC_OVERLAP = 0.5


@dataclass(frozen=True)
class Scores:
    """Average precisions of `n` pictures as fractions, -1 where there are no objects.

    Attributes:
        ap: COCO's AP, the mean over IoU thresholds from 0.5 to 0.95; ap50 and ap75 are at 0.5 and 0.75.
        ap_small, ap_medium, ap_large: AP of objects below 32 x 32 pixels, below 96 x 96, and of all others.
        voc50: VOC 2007's mean average precision, at an IoU of 0.5.
        mask_ap, mask_ap50: AP and AP50 of masks; None if there are none.
    """

    n: int
    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    voc50: float
    mask_ap: float | None = None
    mask_ap50: float | None = None


def measure(pictures: Pictures, found: Sequence[Detections], masks: bool = False) -> Scores:
    """The scores of detections: one entry for each picture, with boxes as fractions of that picture."""
    boxes = coco(pictures, found, "bbox")
    more = coco(pictures, found, "segm") if masks else {}
    return Scores(
        len(pictures), **boxes, voc50=voc(pictures, found), mask_ap=more.get("ap"), mask_ap50=more.get("ap50")
    )


def coco(pictures: Pictures, found: Sequence[Detections], kind: Literal["bbox", "segm"]) -> dict[str, float]:
    """COCO's first six statistics by name."""
    results = [
        each
        for number, (d, t) in enumerate(zip(found, pictures.things, strict=True))
        for each in _results(number, d, t, kind)
    ]
    if not results:
        # pycocotools cannot read an empty list.
        return dict.fromkeys(COCO, 0.0)
    # It reports on standard output.
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco_tools("coco").COCO()
        truth.dataset = _dataset(pictures, kind)
        truth.createIndex()
        evaluation = coco_tools("cocoeval").COCOeval(truth, truth.loadRes(results), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(COCO, map(float, evaluation.stats), strict=False))


def _dataset(pictures: Pictures, kind: str) -> dict[str, Any]:
    annotations: list[dict[str, Any]] = []
    for number, things in enumerate(pictures.things):
        for i, corners in enumerate(_pixels(things.boxes, things)):
            annotation = {
                "id": len(annotations) + 1,
                "image_id": number,
                "category_id": int(things.labels[i]),
                "bbox": _sides(corners),
                "area": float(things.areas[i]),
                "iscrowd": int(things.crowd[i]),
            }
            if kind == "segm":
                annotation["segmentation"] = run_lengths(things.segmentations[i], things.width, things.height)
            annotations.append(annotation)
    return {
        "info": {},
        "images": [{"id": i, "width": t.width, "height": t.height} for i, t in enumerate(pictures.things)],
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in enumerate(pictures.classes)],
    }


def _results(number: int, found: Detections, things: Things, kind: str) -> list[dict[str, Any]]:
    boxes = _pixels(found.boxes.double().numpy(), things)
    results: list[dict[str, Any]] = [
        {"image_id": number, "category_id": label, "bbox": _sides(corners), "score": score}
        for corners, label, score in zip(boxes, found.labels.tolist(), found.scores.tolist(), strict=True)
    ]
    if kind == "segm":
        encode = coco_tools("mask").encode
        bitmaps = found.bitmaps(things.width, things.height).byte().numpy()
        for result, bitmap in zip(results, bitmaps, strict=True):
            result["segmentation"] = encode(np.asfortranarray(bitmap))
            del result["bbox"]
    return results


def voc(pictures: Pictures, found: Sequence[Detections]) -> float:
    """VOC 2007's mean average precision; an object counts as found once, and boxes on crowds are ignored."""
    each = [_class_precision(pictures, found, label) for label in range(len(pictures.classes))]
    known = [value for value in each if value is not None]
    return float(np.mean(known)) if known else -1.0


def _class_precision(pictures: Pictures, found: Sequence[Detections], label: int) -> float | None:
    scores: list[float] = []
    hits: list[bool] = []
    total = 0
    for things, detections in zip(pictures.things, found, strict=True):
        mine = things.labels == label
        total += int((mine & ~things.crowd).sum())
        chosen = detections.take(detections.labels == label)
        boxes = _pixels(chosen.boxes.double().numpy(), things)
        truth, crowd = _pixels(things.boxes[mine], things), things.crowd[mine]
        for score, hit in zip(chosen.scores.tolist(), _hits(boxes, truth, crowd), strict=True):
            if hit is not None:
                scores.append(score)
                hits.append(hit)
    if not total:
        return None
    order = np.argsort(-np.array(scores), kind="stable")
    return eleven_points(np.array(hits, bool)[order], total)


def _hits(boxes: Floats, truth: Floats, crowd: NDArray[np.bool_]) -> list[bool | None]:
    """Whether each box, by falling score, finds an object that none before it found; None if it finds a crowd."""
    taken, result = np.zeros(len(truth), bool), list[bool | None]()
    for box in boxes:
        overlaps = _overlaps(box, truth)
        best = int(overlaps.argmax()) if len(overlaps) else -1
        if best < 0 or overlaps[best] < VOC_OVERLAP:
            result.append(False)
        elif crowd[best]:
            result.append(None)
        else:
            result.append(not taken[best])
            taken[best] = True
    return result


def eleven_points(hits: NDArray[np.bool_], total: int) -> float:
    """VOC 2007's average precision of hits and misses by falling score: the mean at recalls of 0, 0.1, ..., 1."""
    right = hits.cumsum()
    recall, precision = right / total, right / np.arange(1, len(hits) + 1)
    points = [precision[recall >= at].max(initial=0.0) for at in np.arange(11) / 10]
    return float(np.mean(points))


def _overlaps(box: Floats, others: Floats) -> Floats:
    """Intersection over union float64[n] of a box with others."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = sides.clip(0).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1)
    found: Floats = shared / ((box[2:] - box[:2]).prod() + areas - shared)
    return found


def _pixels(boxes: Floats, things: Things) -> Floats:
    found: Floats = boxes * np.array([things.width, things.height] * 2, np.float64)
    return found


def _sides(corners: Floats) -> list[float]:
    """COCO's left, top, width, height."""
    left, top, right, bottom = map(float, corners)
    return [left, top, right - left, bottom - top]
