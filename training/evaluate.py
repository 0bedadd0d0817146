"""What `overtone evaluate` does: predictions for a folder, then tables, JSON, figures and a gallery."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from overtone.frequency.pixels import ImageError
from overtone.models import Card, Cascade, OperatingPoint, choose_device, find, load
from overtone.training import table
from overtone.training.data import DataError, Pictures
from overtone.training.measure import AtThreshold, Calibration, Measured, Mode, card_cost, measure
from overtone.training.parts import read_part
from overtone.training.predict import Predictions, predict
from overtone.training.single import evaluate_single, is_single


@dataclass(frozen=True)
class Show:
    """What to show beside the three modes: more tables, a folder for figures, a file for a gallery."""

    thresholds: bool = False
    reliability: bool = False
    plots: Path | None = None
    gallery: Path | None = None
    count: int = 12


@dataclass(frozen=True)
class Evaluation:
    """A checkpoint on pictures: by quality what was measured, and the predictions of quality `main`."""

    card: Card
    data: str
    pictures: Pictures
    rows: dict[int, Measured]
    main: int
    predictions: Predictions

    @property
    def what(self) -> str:
        """Checkpoint and data in a few words."""
        return f"{self.card.name} on {self.data}"

    @property
    def found(self) -> Measured:
        """What was measured at the main quality."""
        return self.rows[self.main]


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
    show: Show | None = None,
    workers: int = 0,
    device: str = "auto",
) -> None:
    """Measure a checkpoint on a folder, at one quality or several, and show what was found.

    Details and the gallery are of the first quality asked for; of the default one if all are.

    Raises:
        ValueError: no such checkpoint, quality, point, folder or device; an output that cannot be written; a
            damaged picture. All but the last are found before the work begins.
    """
    if threshold is not None and operating_point is not None:
        raise DataError("a threshold takes the place of an operating point: give one of the two")
    path, show = find(checkpoint), show or Show()
    if is_single(path):
        if show != Show() or qualities or every_quality or threshold is not None or operating_point:
            raise DataError(f"{checkpoint}: a single network has no low answers, so no options about them")
        with _one_line_errors():
            evaluate_single(path, data, split_name, as_json, workers, choose_device(device))
        return
    model, card = load(path, choose_device(device))
    pictures = read_part(data, split_name, card.classes, card.profile.labels)
    asked = card.profile.qualities if every_quality else tuple(qualities) or (card.profile.quality,)
    main = card.profile.quality if every_quality else asked[0]
    _check(card, asked, show)
    points = {q: _point(card, q, threshold, operating_point) for q in asked}
    with _one_line_errors():
        rows, kept = _measure(model, card, pictures, points, main, workers)
    done = Evaluation(card, f"{data.name}/{split_name}", pictures, rows, main, kept)
    if as_json:
        print(json.dumps(document(done)))
    else:
        _print(done, show)
    for path in _draw(done, show):
        Console(stderr=as_json).print(f"wrote {path}", highlight=False, soft_wrap=True, markup=False)


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """A damaged picture in a worker process comes back as that process's whole traceback: keep its end."""
    try:
        yield
    except ImageError as error:
        *_, last = str(error).strip().splitlines()
        raise ImageError(last.rpartition("ImageError: ")[2]) from error


def _point(card: Card, quality: int, threshold: float | None, name: str | None) -> OperatingPoint:
    """The threshold asked for, or the card's operating point for a quality."""
    return (
        card.point(name, quality) if threshold is None else OperatingPoint(name="asked", threshold=threshold)
    )


def _check(card: Card, qualities: Sequence[int], show: Show) -> None:
    """Find now what would otherwise fail after minutes of work."""
    for quality in qualities:
        card.profile.index(quality)
    if show.plots:
        show.plots.mkdir(parents=True, exist_ok=True)
    if show.gallery:
        if show.gallery.suffix.lower() != ".png":
            raise DataError(f"{show.gallery}: a gallery is a picture; give it a name that ends in .png")
        show.gallery.parent.mkdir(parents=True, exist_ok=True)


def _measure(
    model: Cascade,
    card: Card,
    pictures: Pictures,
    points: dict[int, OperatingPoint],
    main: int,
    workers: int,
) -> tuple[dict[int, Measured], Predictions]:
    """By quality what was measured, and the predictions of the main one; those of the others may be large."""
    rows: dict[int, Measured] = {}
    for quality, point in points.items():
        found = predict(model, pictures, card.profile, quality, workers)
        rows[quality] = measure(found, card, quality, point.threshold, point.rule)
        if quality == main:
            kept = found
    return rows, kept


def document(done: Evaluation) -> dict[str, Any]:
    """The JSON object: the main quality's entry at the top, and all of them below if there are several."""
    found, card = done.found, done.card
    head = {"checkpoint": card.name, "n": found.n, "size": card.profile.size}
    more = {"qualities": [_entry(card, row) for row in done.rows.values()]} if len(done.rows) > 1 else {}
    return head | _entry(card, found) | more


def _entry(card: Card, found: Measured) -> dict[str, Any]:
    return {
        "quality": found.quality,
        "step": found.step,
        "threshold": found.threshold,
        "low": _mode(found.low),
        "both": _mode(found.both),
        "cascade": _mode(found.cascade) | {"exit_share": found.exit_share},
        "cost": asdict(card_cost(card)) | {"mean_macs": found.cascade.mean_macs},
        "thresholds": [_at(row) for row in found.thresholds],
        "calibration": {stage: _calibration(c) for stage, c in found.calibration.items()},
    }


def _mode(mode: Mode) -> dict[str, float]:
    return {"top1": mode.top1, "top5": mode.top5, "mean_payload_bytes": mode.mean_bytes}


def _at(row: AtThreshold) -> dict[str, Any]:
    values = asdict(row)
    name, mean_bytes = values.pop("name"), values.pop("mean_bytes")
    return values | {"operating_point": name or None, "mean_payload_bytes": mean_bytes}


def _calibration(c: Calibration) -> dict[str, Any]:
    return {"temperature": c.temperature, "before": c.before.as_dict(), "after": c.after.as_dict()}


def _print(done: Evaluation, show: Show) -> None:
    console, found = Console(), done.found
    title = f"{done.what}: {found.n} pictures, {done.card.profile.size} px"
    console.print(table.modes_table(title, tuple(done.rows.values()), done.card.cost.parameters))
    if show.thresholds:
        console.print(table.thresholds_table(found))
    if show.reliability:
        console.print(table.reliability_table(found))
        console.print(table.bins_table(found))


def _draw(done: Evaluation, show: Show) -> list[Path]:
    """Figures and gallery where asked for; their paths."""
    # matplotlib looks for the machine's fonts when it is first imported: not before a figure is wanted.
    paths: list[Path] = []
    if show.plots:
        from overtone.training.draw import draw_all

        paths += draw_all(done.what, done.rows, done.main, show.plots)
    if show.gallery:
        from overtone.training.gallery import draw_gallery

        what = f"{done.what}, quality {done.main}"
        draw_gallery(what, done.pictures, done.predictions, done.card, show.gallery, show.count)
        paths.append(show.gallery)
    return paths
