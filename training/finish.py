"""From trained weights to a checkpoint: tables, temperatures, default quality, operating points, card."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.console import Console

from overtone.frequency import Profile
from overtone.frequency.channels import HIGH, LOW
from overtone.models import Accuracy, Card, Cascade, Costs, Temperature, Training, save
from overtone.models.operating_point import OperatingPoint
from overtone.training.calibrate import DEFAULT_POINT, Held, fit_temperatures, modes, operating_points
from overtone.training.codec import tables_for
from overtone.training.data import Pictures
from overtone.training.predict import Predictions, predict
from overtone.training.recipe import Recipe
from overtone.training.systems import cost_of


def fit_profile(recipe: Recipe, train: Pictures) -> Profile:
    """The profile for a recipe: uniform steps, tables counted on training pictures."""
    steps = tuple((step,) * len(LOW + HIGH) for step in recipe.quality.steps)
    return Profile(
        name=recipe.name,
        size=recipe.size,
        low=LOW,
        high=HIGH,
        qualities=tuple(range(1, len(steps) + 1)),
        quality=len(steps) // 2 + 1,
        steps=steps,
        tables=tables_for(train, recipe.size, steps, LOW, HIGH),
        labels=tuple(recipe.labels.get(c, c) for c in train.classes),
    )


def finish(
    recipe: Recipe,
    model: Cascade,
    train: Pictures,
    calibration: Pictures,
    out: Path,
    data: str,
    workers: int = 0,
) -> Card:
    """Choose everything that is left to choose on the calibration part, and write the checkpoint."""
    profile = fit_profile(recipe, train)
    decided = decide(model, profile, calibration, data, recipe.quality.tolerance, workers)
    counted = cost_of(recipe, len(train.classes))
    card = Card(
        name=recipe.name,
        architecture=model.architecture,
        profile=decided.profile,
        classes=train.classes,
        temperature=decided.temperature,
        operating_points=decided.points,
        operating_point=DEFAULT_POINT,
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
    )
    save(out, model, card)
    Console().print(f"wrote {out}: quality {decided.profile.quality}, threshold {card.threshold():.3f}")
    return card


@dataclass(frozen=True)
class Decided:
    """What is chosen on the calibration part: the profile with its default quality, temperatures, points."""

    profile: Profile
    temperature: Temperature
    points: tuple[OperatingPoint, ...]

    def on(self, card: Card) -> Card:
        """A card of the same network, with this instead of what was decided before."""
        return card.model_copy(
            update={
                "profile": self.profile,
                "temperature": self.temperature,
                "mix": None,
                "operating_points": self.points,
                "operating_point": DEFAULT_POINT,
                "accuracy": (),
            }
        )


def decide(
    model: Cascade, profile: Profile, calibration: Pictures, data: str, tolerance: float, workers: int = 0
) -> Decided:
    """Everything that predictions on the calibration part of `data` decide, for every quality."""
    found = {q: predict(model, calibration, profile, q, workers) for q in profile.qualities}
    profile = replace(profile, quality=choose_quality(found, tolerance))
    temperature = fit_temperatures(found[profile.quality])
    points = tuple(
        point
        for q, p in found.items()
        for point in operating_points(p, temperature, Held(profile, q, f"{data}/calibration"))
    )
    return Decided(profile, temperature, points)


def choose_quality(found: dict[int, Predictions], tolerance: float) -> int:
    """The quality with the fewest bytes whose cascade is at most `tolerance` of top-1 below the best."""
    scores = {}
    for quality, p in found.items():
        temperature = fit_temperatures(p)
        default = next(o for o in operating_points(p, temperature) if o.name == DEFAULT_POINT)
        scores[quality] = modes(p, temperature, default.threshold)
    best = max(s.cascade for s in scores.values())
    good = [q for q, s in scores.items() if s.cascade >= best - tolerance]
    return min(good, key=lambda q: scores[q].mean_bytes)


def accuracy_of(
    p: Predictions, temperature: Temperature, threshold: float, quality: int, data: str
) -> Accuracy:
    """The card's line for predictions made on reported data."""
    found = modes(p, temperature, threshold)
    return Accuracy(
        data=data,
        n=len(p.targets),
        quality=quality,
        threshold=threshold,
        low=found.low,
        both=found.both,
        cascade=found.cascade,
        exit_share=found.exit_share,
        low_bytes=float(p.low_bytes.mean()),
        high_bytes=float(p.high_bytes.mean()),
        mean_bytes=found.mean_bytes,
    )
