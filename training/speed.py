"""How fast each stage of training is, side by side in one run: `python -m overtone.training.speed RECIPE --data DIR`.

Every stage is measured in turn, several times over, and the medians are printed: other work on the machine
then disturbs all stages alike. Processor time, of this process and its workers, is disturbed least.
"""

import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor

from overtone.models import choose_device
from overtone.training.cache import Files
from overtone.training.commands import changed
from overtone.training.data import split
from overtone.training.datasets import open_data
from overtone.training.progress import tracked
from overtone.training.recipe import Recipe, load_recipe
from overtone.training.trainer import Tally, Trainer

# The least whole / synthetic that is good enough.
GOAL = 0.9
Work = Callable[[], None]


@dataclass(frozen=True)
class Speed:
    """Medians of one stage: images a second, and processor milliseconds an image."""

    images_per_second: float
    cpu_ms: float


class Stages:
    """What is measured: each method does one batch with the pieces that the trainer itself uses."""

    def __init__(self, trainer: Trainer, size: int, step: int = 0) -> None:
        self.trainer, self.size = trainer, size
        self.files = Files(trainer.train)
        self.stage = trainer._stage(step)
        self.sampler, self.loader = trainer._loader(step)
        self.batch = self.sampler.batch
        self.random = torch.Generator().manual_seed(0)
        self.tally = Tally(torch.zeros(3, device=trainer.device))
        for part in trainer.system.steps()[step]:
            part.train()
        self.sampler.set(0, size)
        self.indices = self._endless_indices()
        self.loaded = self._endless_batches()
        items = [self.loader.dataset[i] for i in next(self.indices)]
        self.rgb = torch.stack([rgb for rgb, _ in items])
        self.target = torch.tensor([target for _, target in items])
        channels = trainer.inputs.at(self.rgb[:1], 64.0).shape[1:]
        synthetic = torch.randn(self.batch, *channels, device=trainer.device) * 64
        self.x = synthetic.contiguous(memory_format=torch.channels_last)
        self.y = self.target.to(trainer.device)

    def all(self) -> dict[str, Work]:
        """Stages by name, from the cheapest look at a file to the whole."""
        return {
            "decoded from files": self.from_files,
            "from memory or files, as trained": self.from_source,
            "+ augmentation, batched": self.augmented,
            "DCT and quantiser": self.prepared,
            "network, synthetic tensors": self.network,
            "whole training loop": self.whole,
        }

    def from_files(self) -> None:
        """Decode."""
        for number, _, _ in next(self.indices):
            self.files(number)

    def from_source(self) -> None:
        """What `training.cache` gives."""
        for number, _, _ in next(self.indices):
            self.trainer.source(number)

    def augmented(self) -> None:
        """What a worker does."""
        torch.stack([self.loader.dataset[i][0] for i in next(self.indices)])

    def prepared(self) -> None:
        """A batch to the device, and there to what the network takes."""
        self._inputs(self.rgb)

    def network(self) -> None:
        """An optimiser's step on what is on the device already."""
        self.trainer._update(self.stage, 1e-3, self.x, self.y, self.batch, self.tally)

    def whole(self) -> None:
        """Everything."""
        rgb, target = next(self.loaded)
        target = target.to(self.trainer.device)
        self.trainer._update(self.stage, 1e-3, self._inputs(rgb), target, self.batch, self.tally)

    def _inputs(self, rgb: Tensor) -> Tensor:
        return self.trainer.inputs.quantised(rgb, self.trainer.inputs.draw(len(rgb), self.random))

    def _endless_indices(self) -> Iterator[list[tuple[int, int, int]]]:
        while True:
            yield from self.sampler

    def _endless_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        for epoch in count():
            self.sampler.set(epoch, self.size)
            yield from self.loader


def cpu_seconds() -> float:
    """Processor time of this process and of the workers it has now (Linux; elsewhere without the workers)."""
    total = time.process_time()
    for child in multiprocessing.active_children():
        stat = Path(f"/proc/{child.pid}/stat")
        if stat.is_file():
            user, system = stat.read_text("ascii").rsplit(")", 1)[1].split()[11:13]
            total += (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return total


def measure(work: Work, batches: int, images: int, device: torch.device) -> Speed:
    """The speed of so many batches of so many images."""
    clock, cpu = time.perf_counter(), cpu_seconds()
    for _ in range(batches):
        work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds, busy = time.perf_counter() - clock, cpu_seconds() - cpu
    done = batches * images
    return Speed(done / max(seconds, 1e-9), busy / done * 1000)


def compare(stages: Stages, batches: int, rounds: int) -> dict[str, Speed]:
    """Medians over the rounds; a first batch of each stage is not counted."""
    device, found = stages.trainer.device, {name: list[Speed]() for name in stages.all()}
    for work in stages.all().values():
        work()
    turns = [turn for _ in range(rounds) for turn in stages.all().items()]
    for name, work in tracked(turns, "measuring"):
        found[name].append(measure(work, batches, stages.batch, device))
    return {
        name: Speed(
            statistics.median(s.images_per_second for s in speeds),
            statistics.median(s.cpu_ms for s in speeds),
        )
        for name, speeds in found.items()
    }


def summary(found: dict[str, Speed]) -> dict[str, float]:
    """Whole over synthetic, and the data path's processor time over the network's."""
    *_, augmented, prepared, network, whole = found.values()
    return {
        "ratio": whole.images_per_second / network.images_per_second,
        "data_cpu_over_network": (augmented.cpu_ms + prepared.cpu_ms) / max(network.cpu_ms, 1e-9),
    }


def main(
    recipe: Annotated[
        str, typer.Argument(help="A recipe file, or the name of one that comes with Overtone.")
    ],
    data: Annotated[str, typer.Option(envvar="OVERTONE_DATA", help="A folder, or the name of a data set.")],
    size: Annotated[int | None, typer.Option(help="Side in pixels instead of the recipe's.")] = None,
    batches: Annotated[int, typer.Option(min=1, help="Of a stage in a round.")] = 6,
    rounds: Annotated[int, typer.Option(min=1, help="Medians are over these.")] = 5,
    workers: Annotated[int, typer.Option(help="Processes that augment pictures.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Measure each stage of training and print images a second."""
    chosen = changed(load_recipe(recipe), size, None, None, None)
    training, calibration = split(open_data(data).train)
    with tempfile.TemporaryDirectory() as folder:
        on = choose_device(device)
        trainer = Trainer(chosen, training, calibration, Path(folder), on, workers)
        found = compare(Stages(trainer, chosen.size), batches, rounds)
    if as_json:
        print(json.dumps({"stages": {k: asdict(v) for k, v in found.items()}} | summary(found)))
    else:
        _print(chosen, trainer, found)


def _print(recipe: Recipe, trainer: Trainer, found: dict[str, Speed]) -> None:
    title = f"{recipe.name} at {recipe.size} px on {trainer.device}, {trainer.workers} worker(s)"
    table = Table(title=title)
    table.add_column("stage")
    for column in ("images/s", "processor ms an image"):
        table.add_column(column, justify="right")
    for name, speed in found.items():
        table.add_row(name, f"{speed.images_per_second:.0f}", f"{speed.cpu_ms:.2f}")
    figures = summary(found)
    Console().print(table)
    Console().print(f"whole / synthetic: {figures['ratio']:.2f} (goal: {GOAL} or more)")
    Console().print(f"data path / network in processor time: {figures['data_cpu_over_network']:.1%}")


if __name__ == "__main__":
    typer.run(main)
