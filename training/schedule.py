"""How many epochs a data set and a machine allow, and how long they will take."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from rich.console import Console
from torch import nn

from overtone.training.codec.fitting_time import fitting_seconds
from overtone.training.inputs import Inputs
from overtone.training.progress import duration
from overtone.training.recipe import Recipe
from overtone.training.run_log import Epoch
from overtone.training.systems import autocast

# By default, training on a CPU ends within an hour.
CPU_MINUTES = 50.0
# Views of images that each network learns from, if time allows.
VIEWS = {"cpu": 30_000, "cuda": 120_000}
MOST_EPOCHS, FEWEST_EPOCHS = 60, 3
# Fewer images make smaller batches: an epoch then still has this many of them.
BATCHES, SMALLEST_BATCH = 8, 8
# On a CPU images are decoded and cropped beside the training, which takes longer by this factor.
BESIDE = 1.3
# A forward pass takes about a third of a training step.
FORWARD = 1 / 3
TIMED_BATCH = 8


@dataclass
class Schedule:
    """The epochs of a run and the time that they should take.

    Attributes:
        recipe: the recipe, with its epochs.
        per_image: seconds to train one image, for each step.
        images: number of training images.
        measured: number of times that both networks run after training: once for every held-out image and quality.
        fitting: seconds to fit the entropy coder's tables.
    """

    recipe: Recipe
    per_image: Sequence[float]
    images: int
    measured: int
    fitting: float = 0.0
    _started: float = field(default_factory=time.perf_counter)
    _predicted: float = 0.0

    def epoch(self, step: int, epoch: int) -> float:
        """Seconds that an epoch should take."""
        side = self.recipe.size_at(epoch / self.recipe.epochs[step])
        return self.per_image[step] * self.images * (side / self.recipe.size) ** 2

    def after(self, step: int, epoch: int) -> float:
        """Seconds that everything after an epoch should take; (0, -1) for the whole run."""
        places = [(s, e) for s, n in enumerate(self.recipe.epochs) for e in range(n)]
        rest = sum(self.epoch(*place) for place in places if place > (step, epoch))
        return rest + FORWARD * sum(self.per_image) * self.measured + self.fitting

    @property
    def seconds(self) -> float:
        """Seconds that the whole run should take."""
        return self.after(0, -1)

    def report(self, line: Epoch) -> None:
        """Print the time left, corrected by how long the epochs of this process really took."""
        self._predicted += self.epoch(line.step, line.epoch)
        actual = (time.perf_counter() - self._started) / self._predicted
        Console().print(f"  {duration(actual * self.after(line.step, line.epoch))} left")


def choose_schedule(
    recipe: Recipe,
    images: int,
    held_out: int,
    classes: int,
    device: torch.device,
    *,
    minutes: float | None = None,
    epochs: tuple[int, ...] | None = None,
    teacher: nn.Module | None = None,
) -> Schedule:
    """`plan_schedule` with the limit of `CPU_MINUTES` on a CPU, unless `minutes` or `epochs` are given."""
    limit = minutes or (CPU_MINUTES if device.type == "cpu" else None)
    schedule = plan_schedule(recipe, images, held_out, classes, device, limit, teacher)
    if epochs:
        schedule.recipe = schedule.recipe.changed(epochs=epochs)
    return schedule


def plan_schedule(
    recipe: Recipe,
    images: int,
    held_out: int,
    classes: int,
    device: torch.device,
    minutes: float | None,
    teacher: nn.Module | None = None,
) -> Schedule:
    """The recipe with epochs and batch for this many images, on this machine.

    Each network learns from `VIEWS` views of images, in 3 to 60 epochs, and in no more than `minutes` allow.
    """
    cpu = device.type != "cuda"
    smaller = {"batch": min(recipe.optimiser.batch, max(SMALLEST_BATCH, images // BATCHES))}
    recipe = recipe.changed(optimiser=recipe.optimiser.model_dump() | smaller)
    if not cpu:
        recipe = recipe.changed(progressive=())
    per_image = [
        (BESIDE if cpu else 1) * seconds_per_image(recipe, step, classes, device, teacher)
        for step in range(recipe.network.steps)
    ]
    wanted = math.ceil(VIEWS["cpu" if cpu else "cuda"] / images)
    most = max(FEWEST_EPOCHS, min(MOST_EPOCHS, wanted))
    measured, fitting = held_out * len(recipe.quality.rows), _fitting(recipe, images)
    for epochs in range(most, FEWEST_EPOCHS - 1, -1):
        schedule = Schedule(recipe.changed(epochs=(epochs,)), per_image, images, measured, fitting)
        if minutes is None or schedule.seconds <= 60 * minutes:
            break
    return schedule


def schedule_of(
    recipe: Recipe, images: int, held_out: int, classes: int, device: torch.device, teacher: nn.Module | None
) -> Schedule:
    """The schedule of a recipe whose epochs are given."""
    per_image = [
        seconds_per_image(recipe, step, classes, device, teacher) for step in range(recipe.network.steps)
    ]
    return Schedule(recipe, per_image, images, held_out * len(recipe.quality.rows), _fitting(recipe, images))


def _fitting(recipe: Recipe, images: int) -> float:
    rows = recipe.quality.rows
    return fitting_seconds(images, recipe.size, len(rows), recipe.quality.ladder)


def seconds_per_image(
    recipe: Recipe, step: int, classes: int, device: torch.device, teacher: nn.Module | None = None
) -> float:
    """Seconds that a training step takes an image at the recipe's size, measured on one batch of noise."""
    system = recipe.network.build(classes)
    system.module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    rgb = torch.randint(256, (TIMED_BATCH, 3, recipe.size, recipe.size), dtype=torch.uint8, device=device)
    inputs = Inputs(system.channels, recipe.quality, device)

    def once() -> float:
        started = time.perf_counter()
        x = inputs.at(rgb, inputs.middle)
        with autocast(device, system):
            if teacher is not None:
                with torch.no_grad():
                    teacher(rgb)
            loss = system.logits(step, x).float().logsumexp(1).mean()
        loss.backward()
        # Reading a value waits for the device.
        loss.item()
        return time.perf_counter() - started

    # The first batch also allocates memory and chooses algorithms.
    once()
    return once() / TIMED_BATCH
