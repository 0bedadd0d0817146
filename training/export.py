"""From trained weights to a checkpoint: tables, temperatures, default quality, operating points and card."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from overtone.frequency import Profile, fit
from overtone.frequency.channels import HIGH, LOW
from overtone.models import (
    Accuracy,
    Card,
    Cascade,
    CheckpointError,
    Costs,
    Origin,
    Training,
    save,
)
from overtone.training.calibration.risk_targets import (
    ALPHAS,
    DEFAULT_POINT,
    Certifier,
    Provenance,
    RiskTarget,
    standard_points,
)
from overtone.training.calibration.temperature import fit_temperatures
from overtone.training.codec.tables import tables_for
from overtone.training.data import Images, View
from overtone.training.evaluation.predictions import Predictions, predict_each
from overtone.training.evaluation.stopping import Rule
from overtone.training.quality import Quality
from overtone.training.recipe import Recipe


def fit_profile(recipe: Recipe, train: Images, labels: Sequence[str] = ()) -> Profile:
    """The profile of a recipe: its steps and ladder, and tables fitted to training images."""
    named = tuple(labels) or tuple(recipe.labels.get(c, c) for c in train.classes)
    return profile_of(recipe.name, recipe.size, recipe.quality, train, named)


def profile_of(
    name: str, size: int, quality: Quality, train: Images, labels: tuple[str, ...], view: View = fit
) -> Profile:
    """The profile of a recipe's settings, with tables fitted to training images; `view` prepares them."""
    steps, table = quality.rows, quality.table
    thresholds = table.thresholds if table else ()
    return Profile(
        name=name,
        size=size,
        low=LOW,
        high=HIGH,
        qualities=tuple(range(1, len(steps) + 1)),
        quality=len(steps) // 2 + 1,
        steps=steps,
        tables=tables_for(train, size, steps, LOW, HIGH, thresholds, quality.ladder, view=view),
        labels=labels,
        thresholds=thresholds,
        ladder=quality.ladder,
    )


def export(
    recipe: Recipe,
    model: Cascade,
    train: Images,
    calibration: Images,
    out: Path,
    data: str,
    workers: int = 0,
    *,
    origin: Origin | None = None,
    labels: Sequence[str] = (),
) -> Card:
    """Fit the profile, choose quality, temperatures and operating points on the calibration split, and write.

    If the origin has a teacher, the targets of the calibration split are the teacher's answers.
    """
    Console().print(
        "fitting the entropy coder's tables, then choosing quality and thresholds on held-out images",
        soft_wrap=True,
    )
    profile = fit_profile(recipe, train, labels)
    counted = recipe.network.cost_at(len(train.classes), recipe.size)
    card = Card(
        name=recipe.name,
        architecture=model.architecture,
        classes=train.classes,
        cost=Costs(parameters=counted.parameters, low_macs=counted.low_macs or 0, macs=counted.macs),
        training=Training(
            recipe=recipe.model_dump_json(),
            data=data,
            images=len(train),
            calibration_images=len(calibration),
            epochs=recipe.epochs,
            seed=recipe.seed,
            torch=torch.__version__,
        ),
        origin=origin,
        **decide(
            model,
            profile,
            calibration,
            data,
            recipe.quality.tolerance,
            workers,
            agreement=bool(origin and origin.teacher),
        ),
    )
    write(out, model, card)
    return card


def write(out: Path, model: Cascade, card: Card) -> None:
    """Save a checkpoint, and print its file, its threshold, and a warning if there were too few images."""
    save(out, model, card)
    point = card.point()
    thresholds = ", ".join(f"{threshold:.3f}" for threshold in point.thresholds)
    message = f"wrote {out}: quality {card.profile.quality}, threshold {thresholds}"
    Console().print(message, soft_wrap=True)
    needs = RiskTarget(point.name, alpha=point.alpha).needs if point.method == "risk control" else 0
    if point.n < needs:
        Console().print(
            f"no image is answered early: {point.n} held-out images cannot guarantee that this changes at most "
            f"{point.alpha:.1%} of the answers, {needs} could; give more images",
            soft_wrap=True,
            highlight=False,
        )


def decide(
    model: Cascade,
    profile: Profile,
    calibration: Images,
    data: str,
    tolerance: float,
    workers: int = 0,
    *,
    agreement: bool = False,
) -> dict[str, Any]:
    """The fields of a card that are chosen from predictions on the calibration split of `data`, at every quality.

    With `agreement`, points bound how often an early answer differs from the full answer, right or wrong.
    """
    found = predict_each(model, calibration, profile, profile.qualities, workers)
    profile = replace(profile, quality=choose_quality(found, tolerance))
    temperatures = fit_temperatures(found[profile.quality])
    points = tuple(
        point
        for q, p in ((q, p.agreeing() if agreement else p) for q, p in found.items())
        for point in standard_points(p, temperatures, Provenance(profile, q, f"{data}/calibration"))
    )
    return {
        "profile": profile,
        "temperatures": temperatures,
        "mix": None,
        "operating_points": points,
        "operating_point": DEFAULT_POINT,
        "accuracy": (),
    }


def choose_quality(found: dict[int, Predictions], tolerance: float) -> int:
    """The quality with the fewest bytes whose cascade is at most `tolerance` of top-1 below the best."""
    results = {}
    for quality, p in found.items():
        temperatures = fit_temperatures(p)
        rule = Certifier.of(p, temperatures).rule(RiskTarget(DEFAULT_POINT, ALPHAS[DEFAULT_POINT]))
        results[quality] = p.summary(p.layers_taken(temperatures, rule))
    best = max(result.cascade for result in results.values())
    good = [q for q, result in results.items() if result.cascade >= best - tolerance]
    return min(good, key=lambda q: results[q].mean_bytes)


def accuracy_of(p: Predictions, card: Card, data: str) -> Accuracy:
    """The card's accuracy at its default quality and operating point, from predictions on `data`."""
    rule = Rule.of(card.point())
    return Accuracy(
        data=data,
        n=len(p.targets),
        quality=card.profile.quality,
        thresholds=rule.thresholds,
        sizes=tuple(p.sizes.mean(axis=1).tolist()),
        **asdict(p.summary(p.layers_taken(card.temperatures, rule))),
    )


def check_writable(out: Path) -> None:
    """Refuse, before the work begins, a file that could not be written after it.

    Raises:
        CheckpointError: the folder of `out` does not exist, or `out` is a folder.
    """
    if not out.parent.is_dir():
        raise CheckpointError(f"{out.parent}: no such folder")
    if out.is_dir():
        raise CheckpointError(f"{out}: a folder; give a file in it")
