"""Which recipe made a detector, if several runs did."""

from dataclasses import dataclass
from pathlib import Path

from overtone.models import CheckpointError, Origin, find, read_card, task_of
from overtone.models.detection.checkpoint import read_detector_card
from overtone.training import resume
from overtone.training.detection import detector_file
from overtone.training.detection.recipe import DetectionRecipe, is_detection


@dataclass(frozen=True)
class Run:
    """A recipe with the epochs that were trained, and the classes of the data; a saved state does not have these."""

    recipe: DetectionRecipe
    classes: tuple[str, ...] | None


def whole_recipe(recipe: DetectionRecipe, classes: tuple[str, ...]) -> DetectionRecipe:
    """The recipe with the epochs of all runs that trained its networks; a network is trained if it has some.

    Those of a detector that it starts from count too, if its networks and classes are the same.
    """
    before = run_of(recipe.start)
    if before is None or before.recipe.network != recipe.network or before.classes not in (None, classes):
        return recipe.model_copy(update={"start": Path(recipe.start).stem})
    earlier = whole_recipe(before.recipe, classes)
    epochs = tuple(now + then for now, then in zip(recipe.epochs, earlier.epochs, strict=True))
    return recipe.model_copy(update={"start": earlier.start, "epochs": epochs})


def origin_of(recipe: DetectionRecipe) -> Origin | None:
    """The published weights that its networks, or those of the detector that it starts from, began with."""
    if before := run_of(recipe.start):
        return origin_of(before.recipe)
    try:
        path = find(recipe.start)
        return (read_detector_card if task_of(path) == "detect" else read_card)(path).origin
    except CheckpointError:
        return None


def run_of(start: str) -> Run | None:
    """The run that made what another one starts from; None if that is no detector, or is not there any more."""
    try:
        path = find(start)
        state = resume.progress(path)
        if state is None:
            recipe, classes = detector_file.described(path)
            return Run(recipe, classes) if recipe else None
    except CheckpointError:
        return None
    if not is_detection(state.recipe):
        return None
    found = DetectionRecipe.model_validate_json(state.recipe)
    later = (0 for _ in found.epochs[state.step + 1 :])
    return Run(found.model_copy(update={"epochs": (*found.epochs[: state.step], state.epoch, *later)}), None)
