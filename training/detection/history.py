"""The history of a detector that several runs trained: the recipe that stands for all of them, and its origin.

A run may train one network of a detector and start from the file of another run, which trained the other network.
"""

from dataclasses import dataclass
from pathlib import Path

from overtone.models import CheckpointError, Origin, find, read_card, task_of
from overtone.models.detection.checkpoint import read_detector_card
from overtone.training import resume
from overtone.training.detection import detector_file
from overtone.training.detection.recipe import DetectionRecipe, is_detection


@dataclass(frozen=True)
class Run:
    """A run: its recipe with the epochs that were trained, and the classes, which a saved state does not record."""

    recipe: DetectionRecipe
    classes: tuple[str, ...] | None


def whole_recipe(recipe: DetectionRecipe, classes: tuple[str, ...]) -> DetectionRecipe:
    """The recipe with the epochs of this run and of all runs before it; a network with 0 epochs is untrained.

    A run counts as one before it if the recipe starts from its file, and if its networks and classes are the same.
    """
    before = run_of(recipe.start)
    if before is None or before.recipe.network != recipe.network or before.classes not in (None, classes):
        return recipe.model_copy(update={"start": Path(recipe.start).stem})
    earlier = whole_recipe(before.recipe, classes)
    epochs = tuple(now + then for now, then in zip(recipe.epochs, earlier.epochs, strict=True))
    return recipe.model_copy(update={"start": earlier.start, "epochs": epochs})


def origin_of(recipe: DetectionRecipe) -> Origin | None:
    """The published weights that the first of the runs behind a recipe started from, if there were any."""
    if before := run_of(recipe.start):
        return origin_of(before.recipe)
    try:
        path = find(recipe.start)
        return (read_detector_card if task_of(path) == "detect" else read_card)(path).origin
    except CheckpointError:
        return None


def run_of(start: str) -> Run | None:
    """The run that wrote the file `start`; None if it is not a detector's file, or does not exist any more."""
    try:
        path = find(start)
        state = resume.progress(path)
        if state is None:
            recipe, classes = detector_file.read_description(path)
            return Run(recipe, classes) if recipe else None
    except CheckpointError:
        return None
    if not is_detection(state.recipe):
        return None
    found = DetectionRecipe.model_validate_json(state.recipe)
    later = (0 for _ in found.epochs[state.step + 1 :])
    return Run(found.model_copy(update={"epochs": (*found.epochs[: state.step], state.epoch, *later)}), None)
