"""`overtone calibrate` for detectors."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from overtone.frequency import letter_boxed
from overtone.models import CheckpointError, choose_device, find
from overtone.models.detection.card import DetectorCard
from overtone.models.detection.checkpoint import rewrite_detector
from overtone.models.detection.detector import Detector
from overtone.models.detection.operating_point import DetectionPoint
from overtone.training.calibration.calibrate import LADDERS, destination, with_ladder
from overtone.training.calibration.calibration_report import guarantee
from overtone.training.calibration.risk_targets import DEFAULT_POINT, RiskTarget, replaced
from overtone.training.detection import detector_file
from overtone.training.detection.detector_export import new_card, untrained, warn_of_too_few
from overtone.training.detection.detector_file import TrainedDetector
from overtone.training.detection.evaluate_detector import accuracy_of, pictures_for
from overtone.training.detection.operating_points import SHOWN, choose_points


def calibrate_detector(
    checkpoint: str,
    data: Path,
    target: RiskTarget | None = None,
    *,
    qualities: Sequence[int] = (),
    layers: int | None = None,
    default: bool = False,
    shown: float = SHOWN,
    split: str = "calibration",
    reported: str | None = None,
    out: Path | None = None,
    workers: int = 0,
    device: str = "auto",
    as_json: bool = False,
) -> DetectorCard:
    """Certify a detector, write it with the new card, and print the points; arguments as of `calibrate`.

    The standard points replace all others if they are for the default quality. A single point, or points for other
    qualities, are added. A file without a card becomes a checkpoint. Things are the boxes of the full answer whose
    score is at least `shown`.

    Raises:
        CheckpointError: no file that can be written, or no detector on coefficients whose networks are trained.
        DataError: no such split, or pictures of other classes.
        TargetError: a target that cannot be guaranteed.
    """
    out, path = destination(checkpoint, out), find(checkpoint)
    trained = detector_file.load(path, stale=target is None)
    detector, profile = trained.detector, trained.profile
    if not isinstance(detector, Detector) or profile is None:
        raise CheckpointError(f"{path}: reads pixels, so it has no operating points")
    qualities = tuple(qualities) or (profile.quality,)
    anew = target is None and profile.quality in qualities
    _check(path, trained, anew, layers)
    pictures = pictures_for(trained, data, split)
    if layers is not None:
        train = pictures_for(trained, data, "train").images
        profile = with_ladder(profile, LADDERS[layers], train, letter_boxed)
    detector.to(choose_device(device))
    source = f"{data.name}/{split}"
    fresh = tuple(
        point
        for quality in qualities
        for point in choose_points(
            detector, pictures, profile, quality, source, target, shown=shown, workers=workers
        )
    )
    card = _card(replace(trained, profile=profile), data, fresh, anew)
    if default or anew:
        name = target.name if target else DEFAULT_POINT
        card = card.model_copy(update={"operating_point": name, "accuracy": ()})
    if reported:
        judged = pictures_for(trained, data, reported)
        line = accuracy_of(detector, card, judged, f"{data.name}/{reported}", workers)
        card = card.model_copy(update={"accuracy": (line,)})
    rewrite_detector(path, card, out)
    _report(card, fresh, str(out), as_json)
    return card


def _check(path: Path, trained: TrainedDetector, anew: bool, layers: int | None) -> None:
    """Refuse a detector that is not trained, and single points where others are missing or would become invalid."""
    if not anew and (trained.card is None or layers is not None):
        what = "has no operating points yet" if trained.card is None else "would get a new profile"
        raise CheckpointError(
            f"{path}: {what}: certify the standard points, at the default quality among others"
        )
    if not anew and trained.card:
        trained.card.check()
    if trained.card is None and (missing := untrained(trained)):
        raise CheckpointError(f"{path}: {missing}")


def _card(
    trained: TrainedDetector, data: Path, fresh: tuple[DetectionPoint, ...], anew: bool
) -> DetectorCard:
    """The card with fresh points instead of all others, or in addition to them."""
    card = trained.card
    if card is None:
        counts = [len(pictures_for(trained, data, split)) for split in ("train", "calibration")]
        return new_card(trained, fresh, (counts[0], counts[1]), data.name)
    points = fresh if anew else replaced(card.operating_points, fresh)
    return card.model_copy(update={"profile": trained.profile, "operating_points": points})


def _report(card: DetectorCard, fresh: Sequence[DetectionPoint], out: str, as_json: bool) -> None:
    """Print the points that were certified, and the file they were written to."""
    if as_json:
        made = [point.model_dump(mode="json", exclude_none=True) for point in fresh]
        head = {"checkpoint": out, "name": card.name, "profile": card.profile.id.hex()}
        print(json.dumps(head | {"default": card.operating_point, "operating_points": made}))
        return
    table = Table(title=card.name, box=None)
    columns = ("point", "quality", "in doubt", "guarantee", "missed", "asked for", "blocks", "bytes")
    for name in columns:
        table.add_column(name, justify="left" if name in ("point", "guarantee") else "right")
    for point in fresh:
        table.add_row(point.name, str(point.quality), _doubt(point), _guarantee(point), *_measured(point))
    Console().print(table)
    Console().print(f"wrote {out}; certified for profile {card.profile.id.hex()}", soft_wrap=True)
    warn_of_too_few(card.point())


def _doubt(point: DetectionPoint) -> str:
    if point.whole:
        return "everything"
    return f"{point.unsure:g} to {min(point.sure, 1):g}" if point.unsure < point.sure else "nothing"


def _guarantee(point: DetectionPoint) -> str:
    if point.alpha is not None:
        surely = "on average" if point.delta is None else f"{1 - point.delta:.0%} sure"
        return f"misses at most {point.alpha:.1%}, {surely}"
    return guarantee(RiskTarget(point.name, share=point.share, mean_bytes=point.bytes))


def _measured(point: DetectionPoint) -> tuple[str, ...]:
    """The cells of a point's measurements: missed things, pictures with requests, requested blocks, bytes."""
    shares = (point.missed, point.escalation_share, point.block_share)
    sent = "-" if point.mean_bytes is None else f"{point.mean_bytes:.0f}"
    return *("-" if share is None else f"{share:.1%}" for share in shares), sent
