"""`overtone adapt BODY`: distil a published classifier into a cascade, on unlabelled images."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from rich.console import Console

from overtone.models import Body, Card, choose_device, read_card
from overtone.models.bodies import LITE, names
from overtone.training import imagenet, run_record
from overtone.training import resume as resuming
from overtone.training.body_config import PRETRAINED
from overtone.training.data import DataError, Images, read_unlabelled, split
from overtone.training.export import export
from overtone.training.pretrained import PretrainedError
from overtone.training.progress import duration
from overtone.training.recipe import Recipe, load_recipe
from overtone.training.schedule import Schedule, choose_schedule, schedule_of
from overtone.training.teacher import Teacher, read_labels
from overtone.training.train import check_folder, interrupted
from overtone.training.trainer import Trainer

RECIPE = "adapt"
# Pixels a block of the low body: its 2 x 2 coefficients a block fill 2 pixels, and larger images suit the networks.
LOW_PIXELS, LOW_LITE_PIXELS, HIGH_PIXELS = 4, 5, 8
# With fewer images a warning is printed.
FEW_IMAGES = 1000


def adapt(
    body: str,
    images: Path,
    out: Path | None = None,
    *,
    network: str | None = None,
    low: str | None = None,
    low_pixels: int | None = None,
    high_pixels: int = HIGH_PIXELS,
    labels: Path | None = None,
    size: int | None = None,
    epochs: tuple[int, ...] | None = None,
    start: str | None = None,
    seed: int | None = None,
    minutes: float | None = None,
    resume: bool = False,
    workers: int = 1,
    device: str = "auto",
) -> Path:
    """Train a cascade to answer as a network does on whole images; returns the checkpoint's path.

    Args:
        body: the network by its name in timm or torchvision, or a file with its weights.
        images: folder of images in any nesting; they need no labels.
        out: folder of the run; by default runs/adapt-NAME.
        network: the name of the network if `body` is a file.
        low: another network for the low body, with published weights of the same classes.
        low_pixels: pixels a block that the low body sees.
        high_pixels: pixels a block that the high body sees.
        labels: a file with a label for each class, if they are not ImageNet's.
        size: side of the images in pixels.
        epochs: of each step; by default chosen by `schedule.plan_schedule`.
        start: checkpoint of the same bodies and classes to begin with, instead of the published weights.
        seed: instead of the recipe's.
        minutes: the most time to train for; by default 50 on a CPU and without a limit on a GPU.
        resume: continue after the last finished epoch.
        workers: processes that decode images.
        device: auto, cpu or cuda.

    Raises:
        BodyError, PretrainedError, StartError: no such network, no weights for it, or weights of another one.
        DataError: no images, or not as many labels as classes.
    """
    found = read_unlabelled(images, ())  # before anything is fetched or imported
    on = choose_device(device)
    file, teacher_body = _teacher_body(body, network, high_pixels)
    folder = out or Path("runs") / f"adapt-{teacher_body.name}"
    check_folder(folder, resume)
    base = load_recipe(RECIPE)
    teacher = Teacher.load(teacher_body, size or base.size, file, on)
    classes, class_labels = _classes(teacher, labels)
    training, calibration = split(replace(found, classes=classes))
    if not len(calibration):
        raise DataError(f"{images}: {len(training)} images; at least 6 are needed, and thousands are better")
    low_body = _low_body(low, low_pixels, teacher_body)
    weights = str(file) if file else PRETRAINED
    kind = {
        "kind": "bodies",
        "high": teacher_body.model_dump(),
        "low": low_body.model_dump(),
        "weights": weights,
        "low_weights": PRETRAINED if low and low != teacher_body.name else None,
    }
    chosen = Recipe.validated(base.model_dump() | {"name": teacher_body.name, "network": kind}, RECIPE)
    chosen = chosen.changed(size=size, seed=seed, start=start)
    schedule = _schedule(chosen, folder, training, calibration, on, teacher, minutes, epochs, resume)
    recipe = schedule.recipe
    _announce(teacher, schedule, training)
    answered = teacher.answered(calibration, workers)
    trainer = Trainer(recipe, training, answered, folder, on, workers, schedule.report, teacher.network)
    try:
        system = trainer.run()
    except KeyboardInterrupt:
        raise interrupted(resume) from None
    path = folder / f"{recipe.name}.safetensors"
    export(
        recipe,
        system.module.eval(),  # type: ignore[arg-type]
        training,
        answered,
        path,
        images.resolve().name,
        workers,
        origin=teacher.origin,
        labels=class_labels,
    )
    counts = len(training), len(calibration)
    run_record.write(folder, recipe, images.resolve().name, counts, len(classes), on, [])
    _conclude(read_card(path), path, images)
    return path


def _teacher_body(body: str, network: str | None, pixels: int) -> tuple[Path | None, Body]:
    file = Path(body) if network or Path(body).is_file() else None
    if file and not file.is_file():
        raise PretrainedError(f"{body}: no such file of weights")
    if file and not network:
        raise PretrainedError(f"{body}: a file of weights; name its network with --body NAME")
    name = network or body
    return file, Body(name=name, library=_library(name), pixels=pixels)


def _library(name: str) -> Literal["timm", "torchvision"]:
    # A name that neither library has is refused by the library that is asked to create it.
    return names().get(name, "timm")


def _low_body(low: str | None, pixels: int | None, high: Body) -> Body:
    name = low or high.name
    usual = LOW_LITE_PIXELS if name.startswith(LITE) else LOW_PIXELS
    return Body(name=name, library=_library(name), pixels=pixels or usual)


def _classes(teacher: Teacher, labels: Path | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the classes, and their labels for people."""
    if labels:
        given = read_labels(labels, teacher.classes)
        return imagenet.wordnet_ids() if teacher.classes == imagenet.COUNT else given, given
    if teacher.classes != imagenet.COUNT:
        raise DataError(
            f"{teacher.name} has {teacher.classes} classes, which are not ImageNet's: "
            "give their labels with --labels FILE, one a line"
        )
    return imagenet.wordnet_ids(), imagenet.labels()


def _schedule(
    recipe: Recipe,
    folder: Path,
    training: Images,
    calibration: Images,
    device: torch.device,
    teacher: Teacher,
    minutes: float | None,
    epochs: tuple[int, ...] | None,
    resume: bool,
) -> Schedule:
    counts, n = (len(training), len(calibration)), teacher.classes
    saved = resuming.recipe_of(folder / "last.safetensors") if resume else None
    if saved:
        return schedule_of(Recipe.model_validate_json(saved), *counts, n, device, teacher.network)
    return choose_schedule(
        recipe, *counts, n, device, minutes=minutes, epochs=epochs, teacher=teacher.network
    )


def _announce(teacher: Teacher, schedule: Schedule, training: Images) -> None:
    epochs = " and ".join(map(str, schedule.recipe.epochs))
    Console().print(
        f"{teacher.name} of {teacher.classes} classes teaches on {len(training)} images: {epochs} epochs for the "
        f"high and the low network at {schedule.recipe.size} px; {duration(schedule.seconds)} in all",
        soft_wrap=True,
        highlight=False,
    )
    if len(training) < FEW_IMAGES:
        Console(stderr=True).print(
            f"warning: {len(training)} images are few, and the network will answer differently from the whole "
            f"image in many cases; give {FEW_IMAGES:,} or more, of any kind",
            soft_wrap=True,
            highlight=False,
        )


def _conclude(card: Card, path: Path, images: Path) -> None:
    point = card.point()
    Console().print(
        f"On {point.n} images that were held out, low answers {point.exit_share:.1%} after the first layer; "
        f"{point.k} early answers differ from the full ones; {point.mean_bytes:.0f} bytes on average.\n"
        f"Agreement with the teacher:  overtone evaluate {path} --agreement --data {images} --split calibration\n"
        f"Serve it:  overtone serve --model {path}",
        soft_wrap=True,
        highlight=False,
    )
