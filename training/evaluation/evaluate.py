"""`overtone evaluate` for classifiers: predictions for a folder, then tables or JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from overtone.frequency import ImageError
from overtone.models import Card, choose_device, load
from overtone.training.data import DataError, read_split
from overtone.training.evaluation import tables
from overtone.training.evaluation.metrics import QualityResult, card_cost, measure
from overtone.training.evaluation.predictions import predict_each
from overtone.training.evaluation.stopping import Rule
from overtone.training.teacher import read_any, teacher_of


def evaluate(
    checkpoint: str,
    data: Path,
    *,
    qualities: Sequence[int] = (),
    every_quality: bool = False,
    threshold: float | None = None,
    operating_point: str | None = None,
    split_name: str = "val",
    as_json: bool = False,
    full: bool = False,
    agreement: bool = False,
    weights: Path | None = None,
    workers: int = 0,
    device: str = "auto",
) -> None:
    """Measure a checkpoint on a folder, at one quality or several, and show the results.

    Details (`full`) are of the first quality asked for; with `every_quality`, of the default one. `agreement`
    replaces labels by the answers of the teacher that the card names, whose weights may be given as a file.

    Raises:
        ValueError: no such checkpoint, quality, point, folder or device; a damaged image. All but the last are
            found before the work begins.
    """
    if threshold is not None and operating_point is not None:
        raise DataError("a threshold replaces an operating point: give one of the two")
    model, card = load(checkpoint, choose_device(device))
    if agreement:
        teacher = teacher_of(card, model, weights)
        images = teacher.answered(read_any(data, split_name, card.classes), workers)
    else:
        images = read_split(data, split_name, card.classes, card.profile.labels)
    asked = card.profile.qualities if every_quality else tuple(qualities) or (card.profile.quality,)
    for quality in asked:
        card.profile.index(quality)
    layers = len(card.profile.ladder)
    used = {
        q: Rule.of(card.point(operating_point, q)) if threshold is None else Rule.uniform(threshold, layers)
        for q in asked
    }
    try:
        found = predict_each(model, images, card.profile, used, workers)
        rows = {q: measure(p, card, q, used[q]) for q, p in found.items()}
    except ImageError as error:
        # A worker process reports a damaged image as a whole traceback, whose last line has the message.
        *_, last = str(error).strip().splitlines()
        raise DataError(last.rpartition(f"{ImageError.__name__}: ")[2]) from error
    main = rows[card.profile.quality if every_quality else asked[0]]
    what = f"{card.name} on {data.name}/{split_name}"
    if agreement:
        what = f"agreement with {teacher.name}: {what}"
    if as_json:
        print(json.dumps(document(card, rows, main)))
    else:
        _print(what, card, rows, main, full)


def document(card: Card, rows: dict[int, QualityResult], main: QualityResult) -> dict[str, Any]:
    """The JSON object: the main quality's entry at the top, and all entries if there are several."""
    head = {"checkpoint": card.name, "n": main.n, "size": card.profile.size}
    more = {"qualities": [_entry(card, row) for row in rows.values()]} if len(rows) > 1 else {}
    return head | _entry(card, main) | more


def _entry(card: Card, found: QualityResult) -> dict[str, Any]:
    entry = asdict(found)
    entry["cascade"]["exit_share"] = entry.pop("exit_share")
    return entry | {"cost": asdict(card_cost(card)) | {"mean_macs": found.cascade.mean_macs}}


def _print(what: str, card: Card, rows: dict[int, QualityResult], main: QualityResult, full: bool) -> None:
    console, title = Console(), f"{what}: {main.n} images, {card.profile.size} px"
    console.print(tables.modes_table(title, tuple(rows.values()), card.cost.parameters))
    if full:
        console.print(tables.thresholds_table(main))
        console.print(tables.reliability_table(main))
