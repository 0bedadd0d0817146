"""`overtone train join`: one detector of networks that different runs have trained."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from overtone.frequency import Profile, letter_boxed
from overtone.models import CheckpointError, find
from overtone.models.detection.detector import Detector, build
from overtone.training import resume
from overtone.training.detection import detector_file
from overtone.training.detection.detector_export import export_detector
from overtone.training.detection.detector_file import TrainedDetector
from overtone.training.detection.history import run_of, whole_recipe
from overtone.training.detection.pictures import Pictures, held_out, read_coco
from overtone.training.detection.recipe import DetectionRecipe
from overtone.training.detection.start import weights_in
from overtone.training.export import check_writable, profile_of


def join(checkpoints: Sequence[str], data: Path, out: Path, *, workers: int = 0) -> None:
    """Take each network from the file in which it was trained for the most epochs, and write a checkpoint of them.

    The files are detectors' files or saved states of runs, all with the same networks and classes.

    Raises:
        CheckpointError: a file is not a detector's, has other networks or classes, or no file has trained a network.
        DataError: the data is not in COCO's format.
    """
    check_writable(out)
    train, calibration = held_out(read_coco(data / "train", data / "train.json"))
    paths = [find(checkpoint) for checkpoint in checkpoints]
    recipes = [_recipe(path, train.classes) for path in paths]
    network = recipes[0].network
    for path, recipe in zip(paths, recipes, strict=True):
        if recipe.network != network:
            raise CheckpointError(f"{path}: its networks are others than those of {paths[0]}")
    detector = build(network.architecture(len(train.classes)))
    sources = [_source(recipes, number) for number in range(len(detector.networks))]
    for part, source in zip(detector.networks, sources, strict=True):
        prefix = next(name for name, module in detector.named_children() if module is part)
        part.load_state_dict(weights_in(paths[source], prefix))
    epochs = tuple(recipes[source].epochs[number] for number, source in enumerate(sources))
    # Where recipes differ in more than the epochs, the last network's says how regions were learned.
    recipe = recipes[sources[-1]].model_copy(update={"epochs": epochs})
    profile = _profile(paths, recipe, train) if isinstance(detector, Detector) else None
    trained = TrainedDetector(detector.eval(), recipe, train.classes, profile)
    export_detector(out, trained, train, calibration, data.name, workers)
    Console().print(f"wrote {out}", soft_wrap=True, highlight=False)


def _source(recipes: Sequence[DetectionRecipe], number: int) -> int:
    """The index of the recipe that trained network `number` for the most epochs, the first of several.

    A run of one network that starts from a whole detector's file keeps the other network as it was.

    Raises:
        CheckpointError: none trained it.
    """
    index = max(range(len(recipes)), key=lambda i: recipes[i].epochs[number])
    if not recipes[index].epochs[number]:
        raise CheckpointError(f"network {number + 1} is trained in none of these files")
    return index


def _recipe(path: Path, classes: tuple[str, ...]) -> DetectionRecipe:
    """The recipe that trained the networks in a file.

    Raises:
        CheckpointError: the file is not a detector's, or has other classes.
    """
    run = run_of(str(path))
    if run is None:
        raise CheckpointError(f"{path}: neither a detector nor the saved state of a run of one")
    if run.classes not in (None, classes):
        raise CheckpointError(f"{path}: has other classes than the data: {', '.join(run.classes or ())}")
    return whole_recipe(run.recipe, classes)


def _profile(paths: Sequence[Path], recipe: DetectionRecipe, train: Pictures) -> Profile:
    """The profile of the first file that has one; runs that have not ended have none yet."""
    ended = (detector_file.load(path).profile for path in paths if not resume.progress(path))
    found = next((profile for profile in ended if profile), None)
    if found:
        return found
    return profile_of(recipe.name, recipe.size, recipe.quality, train.images, train.classes, letter_boxed)
