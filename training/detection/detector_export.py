"""From a trained detector to a checkpoint: its card and its operating points."""

from pathlib import Path

import torch
from rich.console import Console

from overtone.models import Training
from overtone.models.detection.card import DetectorCard
from overtone.models.detection.checkpoint import save_detector
from overtone.models.detection.detector import Detector
from overtone.models.detection.operating_point import DetectionPoint
from overtone.training.calibration.risk_targets import DEFAULT_POINT, RiskTarget
from overtone.training.detection import detector_file
from overtone.training.detection.detector_file import TrainedDetector
from overtone.training.detection.history import origin_of, whole_recipe
from overtone.training.detection.operating_points import choose_points
from overtone.training.detection.pictures import Pictures


def new_card(
    trained: TrainedDetector, points: tuple[DetectionPoint, ...], counts: tuple[int, int], data: str
) -> DetectorCard:
    """The card of a trained detector; `counts` are the numbers of pictures for training and for calibration."""
    detector, recipe, profile = trained.detector, trained.recipe, trained.profile
    assert isinstance(detector, Detector)
    assert recipe is not None
    assert profile is not None
    whole = whole_recipe(recipe, trained.classes)
    return DetectorCard(
        name=recipe.name,
        architecture=detector.architecture,
        profile=profile,
        classes=trained.classes,
        operating_points=points,
        operating_point=DEFAULT_POINT,
        training=Training(
            recipe=whole.model_dump_json(),
            data=data,
            images=counts[0],
            calibration_images=counts[1],
            epochs=whole.epochs,
            seed=recipe.seed,
            torch=torch.__version__,
        ),
        origin=origin_of(recipe),
    )


def export_detector(
    path: Path, trained: TrainedDetector, train: Pictures, calibration: Pictures, data: str, workers: int = 0
) -> None:
    """Write a trained detector to a file.

    If all its networks are trained it becomes a checkpoint, with operating points chosen on held-out pictures. A
    detector on pixels, or one with an untrained network, is written with its recipe instead of a card.
    """
    detector, profile = trained.detector, trained.profile
    missing = untrained(trained)
    if not isinstance(detector, Detector) or profile is None or missing:
        detector_file.save(path, trained)
        if missing:
            Console().print(missing, soft_wrap=True, highlight=False)
        return
    Console().print("choosing operating points on held-out pictures", soft_wrap=True)
    source = f"{data}/calibration"
    points = choose_points(detector, calibration, profile, profile.quality, source, workers=workers)
    card = new_card(trained, points, (len(train), len(calibration)), data)
    save_detector(path, detector, card)
    warn_of_too_few(card.point())


def untrained(trained: TrainedDetector) -> str:
    """The advice for a detector with a network that no run has trained; empty if all are trained."""
    recipe = trained.recipe
    assert recipe is not None
    epochs = whole_recipe(recipe, trained.classes).epochs
    if all(epochs):
        return ""
    wanted = ",".join("0" if done else "N" for done in epochs)
    names = " and ".join(("low", "high")[i] for i, done in enumerate(epochs) if not done)
    return (
        f"{names} is not trained yet: train again with --epochs {wanted} and --start with this file, or "
        "`overtone train join` it with one that has trained it"
    )


def warn_of_too_few(point: DetectionPoint) -> None:
    """Print a warning if a point requests all blocks only because there were too few pictures."""
    needs = RiskTarget(point.name, alpha=point.alpha).needs if point.method == "risk control" else 0
    if point.n < needs:
        Console().print(
            f"all blocks of every picture are asked for: {point.n} held-out pictures cannot guarantee that at most "
            f"{point.alpha:.0%} of the things are missed, {needs} could; give more pictures",
            soft_wrap=True,
            highlight=False,
        )
