"""Training in steps (the report, 3.2.3), resumable after every epoch."""

import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from overtone.training import resume
from overtone.training.data import Batches, EpochSampler, Images, TrainSet, ordered_loader
from overtone.training.data.cache import open_source
from overtone.training.inputs import Inputs
from overtone.training.progress import tracked
from overtone.training.recipe import Recipe
from overtone.training.resume import ActiveStep, Saved
from overtone.training.run_log import Epoch, RunLog
from overtone.training.score import score
from overtone.training.systems import SingleSystem, autocast

NORMALISE_ON = 2048
# Epochs between measurements on the calibration split, each of which takes a tenth of an epoch.
SCORE_EVERY = 4
CHANNELS_LAST = torch.channels_last
MOMENTUM = 0.1


class Trainer:
    """Trains a recipe's network on `train`; `folder` holds everything that is needed to resume.

    `on_epoch` is called after each epoch, once it is logged and saved.
    """

    def __init__(
        self,
        recipe: Recipe,
        train: Images,
        calibration: Images,
        folder: Path,
        device: torch.device,
        workers: int,
        on_epoch: Callable[[Epoch], object] = lambda line: None,
    ) -> None:
        self.recipe, self.train, self.calibration = recipe, train, calibration
        self.folder, self.device, self.workers, self.on_epoch = folder, device, workers, on_epoch
        torch.manual_seed(recipe.seed)
        self.system: SingleSystem = recipe.network.build(len(train.classes))
        self.system.module.to(device, memory_format=CHANNELS_LAST)  # type: ignore[call-overload]
        self.inputs = Inputs(self.system.channels, recipe.quality, device)
        self.source = open_source(train, recipe.size)
        folder.mkdir(parents=True, exist_ok=True)

    def run(self) -> SingleSystem:
        """Train all steps, from the last finished epoch on, and return the system.

        Raises:
            ResumeError: the folder holds a run of another recipe.
        """
        saved = resume.read(self.folder / "last.safetensors", self.recipe.model_dump_json())
        if saved:
            self.system.module.load_state_dict(saved.weights())
        elif self.recipe.start:
            self.start(self.recipe.start)
        else:
            self._measure_normalisation()
        with RunLog(self.folder, *((saved.step, saved.epoch) if saved else ())) as log:
            for step in range(saved.step if saved else 0, len(self.recipe.epochs)):
                self._step(step, saved if saved and saved.step == step else None, log)
        return self.system

    def start(self, checkpoint: str) -> None:
        """Take over the weights of a checkpoint; if its classes differ, except those of the classifiers.

        Raises:
            StartError: the checkpoint holds a different network.
        """
        mine = self.system.module
        model, classes = self.recipe.network.start(checkpoint, self.device)
        known = model.state_dict()
        if classes != self.train.classes:
            linear = tuple(f"{name}." for name, part in mine.named_modules() if isinstance(part, nn.Linear))
            known |= {k: v for k, v in mine.state_dict().items() if k.startswith(linear)}
        mine.load_state_dict(known)

    def _step(self, step: int, saved: Saved | None, log: RunLog) -> None:
        active = self._activate(step)
        if saved:
            saved.restore(active)
        sampler, loader = self._loader(step)
        epochs = self.recipe.epochs[step]
        for epoch in range(saved.epoch if saved else 0, epochs):
            sampler.set(epoch, self.recipe.size_at(epoch / epochs))
            line = self._epoch(active, epoch, sampler, loader)
            Console().print(str(line), soft_wrap=True)
            log.add(line)
            path = self.folder / "last.safetensors"
            resume.save(path, self.recipe.model_dump_json(), self.system.module, active, epoch + 1)
            self.on_epoch(line)

    def _activate(self, step: int) -> ActiveStep:
        """Set up a step: what it does not train is frozen."""
        o, module = self.recipe.optimiser, self.system.module
        parameters = [p for part in self.system.steps()[step] for p in part.parameters()]
        module.requires_grad_(False)
        for parameter in parameters:
            parameter.requires_grad_(True)
        optimiser = torch.optim.SGD(
            parameters, o.lr, o.momentum, weight_decay=o.weight_decay, nesterov=o.momentum > 0
        )
        return ActiveStep(step, parameters, optimiser)

    def _loader(self, step: int) -> tuple[EpochSampler, DataLoader[tuple[Tensor, int]]]:
        sampler = EpochSampler(len(self.train), self.recipe.optimiser.batch, self.recipe.seed + step)
        loader = DataLoader(
            TrainSet(self.train.targets, self.source, self.recipe.augmentation),
            batch_sampler=sampler,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=self.device.type == "cuda",
        )
        return sampler, loader

    def _epoch(
        self, active: ActiveStep, epoch: int, sampler: EpochSampler, loader: DataLoader[tuple[Tensor, int]]
    ) -> Epoch:
        # Frozen modules stay in eval mode; otherwise their batch statistics would drift.
        self.system.module.eval()
        for part in self.system.steps()[active.step]:
            part.train()
        # A loader draws from torch's generator when it starts, so it has to start before the seeds are set.
        batches = iter(loader)
        generator = self._seed(active.step, epoch)
        epochs, started = self.recipe.epochs[active.step], time.perf_counter()
        # Sums over the images so far, on the device: loss, correct answers, images.
        sums = torch.zeros(3, device=self.device)
        what = f"step {active.step + 1} epoch {epoch + 1}/{epochs}"
        for i, (rgb, target) in enumerate(tracked(batches, what, len(sampler))):
            lr = self.recipe.optimiser.rate(epoch + i / len(sampler), epochs)
            x = self.inputs.quantised(rgb, self.inputs.draw(len(rgb), generator))
            sums += self._update(active, lr, x, target.to(self.device))
        speed = len(sampler) * sampler.batch / (time.perf_counter() - started)
        loss, correct, seen = sums.tolist()
        measured = epoch + 1 == epochs or (epoch + 1) % SCORE_EVERY == 0
        held_out = self._calibration_top1(active.step) if measured else None
        seconds = time.perf_counter() - started
        return Epoch(
            active.step, epoch, sampler.size, lr, loss / seen, correct / seen, held_out, speed, seconds
        )

    def _seed(self, step: int, epoch: int) -> torch.Generator:
        """Seed torch's own generator, and return one for quantiser steps."""
        seed = (self.recipe.seed * 2 + step) * 10_007 + epoch
        torch.manual_seed(seed * 1_009)
        return torch.Generator().manual_seed(seed)

    def _update(self, active: ActiveStep, lr: float, x: Tensor, target: Tensor) -> Tensor:
        """One step of the optimiser on a batch; the sums of loss, correct answers and images."""
        for group in active.optimiser.param_groups:
            group["lr"] = lr
        active.optimiser.zero_grad(set_to_none=True)
        parts = min(self.recipe.optimiser.accumulate, len(target))
        sums = torch.zeros(3, device=self.device)
        for i, (x_part, target_part) in enumerate(
            zip(x.tensor_split(parts), target.tensor_split(parts), strict=True)
        ):
            self._set_momentum(active.step, i, parts)
            n = len(target_part)
            with autocast(self.device):
                logits = self.system.logits(active.step, x_part)
                goal = self.targets(active.step, x_part, target_part)
                loss = functional.cross_entropy(logits.float(), goal) + self.system.penalty()
            (loss * (n / len(target))).backward()
            correct = (logits.argmax(1) == target_part).sum()
            sums += torch.stack([loss.detach() * n, correct, torch.full_like(correct, n)])
        active.optimiser.step()
        return sums

    def _set_momentum(self, step: int, part: int, parts: int) -> None:
        """Set the momentum of batch normalisation for `part` (from 0) of a batch in `parts`.

        After the last one, running statistics have moved by `MOMENTUM` towards the mean of the parts' statistics,
        as one whole batch would move them.
        """
        momentum = 1 / (parts * (1 / MOMENTUM - 1) + part + 1)
        for module in self.system.steps()[step]:
            for layer in module.modules():
                if isinstance(layer, nn.BatchNorm2d):
                    layer.momentum = momentum

    @torch.no_grad()
    def targets(self, step: int, x: Tensor, target: Tensor) -> Tensor:
        """Target probabilities float32[N, classes]: smoothed labels, for low mixed with high's answers."""
        o, classes = self.recipe.optimiser, len(self.train.classes)
        goal = functional.one_hot(target, classes) * (1 - o.label_smoothing) + o.label_smoothing / classes
        if step == 0 or not o.distil:
            return goal
        taught = self.system.logits(0, x).float().softmax(dim=1)
        return torch.lerp(goal, taught, o.distil)

    def _calibration_top1(self, step: int) -> float | None:
        """Calibration top-1 of the network of a step at the middle quality; None without such images."""
        if not len(self.calibration):
            return None
        batches = ordered_loader(self.calibration, self.recipe.size, view=self.recipe.view)
        return score(self.system, step, self.inputs, batches, self.inputs.middle).top1

    def _measure_normalisation(self) -> None:
        """Write mean and standard deviation of each channel over training images into the system."""
        batches: Batches = ordered_loader(self.train.spread(NORMALISE_ON), self.recipe.size)
        self.system.normalise(*self.inputs.statistics(batches))
