"""`overtone train DATA`: fine-tune a pretrained cascade on the classes of a folder."""

from pathlib import Path

from rich.console import Console

from overtone.models import bundled, choose_device
from overtone.training import resume as resuming
from overtone.training.body_config import BodiesConfig
from overtone.training.data import DataError, is_data, open_data, split
from overtone.training.progress import duration
from overtone.training.recipe import Recipe, RecipeError, is_recipe, load_recipe
from overtone.training.schedule import Schedule, choose_schedule, schedule_of
from overtone.training.train import check_folder, train

RECIPE = "transfer"
# The bundled checkpoint whose bodies have learned to read quantised coefficients of all kinds of photographs.
ADAPTED = "photographs"


def transfer(
    data: str | Path,
    out: Path | None = None,
    *,
    recipe: Recipe | None = None,
    size: int | None = None,
    epochs: tuple[int, ...] | None = None,
    start: str | None = None,
    seed: int | None = None,
    minutes: float | None = None,
    resume: bool = False,
    workers: int = 1,
    device: str = "auto",
) -> Path:
    """Train on a folder or a known data set, and say how to serve the checkpoint, whose path is returned.

    Args:
        data: a folder with a sub-folder of images per class (or with train/ and val/), or a data set by name.
        out: folder of the run; by default named after the data.
        recipe: instead of the bundled recipe `transfer`; it names bodies.
        size: side in pixels instead of the recipe's.
        epochs: of each step; by default chosen by `schedule.plan_schedule`.
        start: checkpoint to begin with; by default the bundled `photographs` if it has the recipe's bodies,
            otherwise their published weights.
        seed: instead of the recipe's.
        minutes: the most time to train for; by default 50 on a CPU and without a limit on a GPU.
        resume: continue after the last finished epoch.
        workers: processes that decode images.
        device: auto, cpu or cuda.

    Raises:
        DataError: no such data, or too few images to hold any out.
    """
    if str(data).endswith(".toml") or (is_recipe(str(data)) and not is_data(data)):
        raise RecipeError(f"{data} is a recipe: give the data that it trains on with --data")
    found, on = open_data(data), choose_device(device)
    training, calibration = split(found.train)
    if not len(calibration):
        raise DataError(
            f"{data}: too few images; a tenth of every class is held out to calibrate on, so give at least 6 "
            "images of a class"
        )
    folder = out or Path("runs") / found.name
    check_folder(folder, resume)
    counts = len(training), len(calibration) + len(found.val or ())
    saved = resuming.recipe_of(folder / "last.safetensors") if resume else None
    if saved:
        schedule = schedule_of(Recipe.model_validate_json(saved), *counts, len(training.classes), on, None)
    else:
        chosen = recipe or load_recipe(RECIPE)
        begin = _start(chosen) if start is None else start
        chosen = chosen.changed(name=found.name, size=size, start=begin, seed=seed)
        # Missing weights are found before anything is measured.
        chosen.network.origin(chosen.start)
        schedule = choose_schedule(chosen, *counts, len(training.classes), on, minutes=minutes, epochs=epochs)
    _announce(schedule, len(training), len(training.classes))
    path = train(
        schedule.recipe,
        data,
        folder,
        resume=resume,
        workers=workers,
        device=device,
        on_epoch=schedule.report,
    )
    Console().print(f"Serve it:  overtone serve --model {path}", soft_wrap=True, highlight=False)
    return path


def _start(recipe: Recipe) -> str | None:
    """The bundled checkpoint, if it is installed and has the bodies of the recipe."""
    config = recipe.network
    known = isinstance(config, BodiesConfig) and ADAPTED in bundled() and config.fits(ADAPTED)
    return ADAPTED if known else None


def _announce(schedule: Schedule, images: int, classes: int) -> None:
    recipe = schedule.recipe
    begin = f"the checkpoint {recipe.start}" if recipe.start else "published weights"
    speeds = " and ".join(f"{1 / s:.2g}" for s in schedule.per_image)
    Console().print(
        f"{images} images of {classes} classes, from {begin}: {' and '.join(map(str, recipe.epochs))} epochs "
        f"for the high and the low network at {recipe.size} px, at {speeds} images/s; "
        f"{duration(schedule.seconds)} in all",
        soft_wrap=True,
        highlight=False,
    )
