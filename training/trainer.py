"""Training in steps (the report, 3.2.3), resumable after every epoch."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from overtone.models import find, load
from overtone.models.patch import PatchResNet, from_cascade
from overtone.training import resume, weights
from overtone.training.bar import EpochBar
from overtone.training.cache import source
from overtone.training.data import EpochSampler, Pictures, TrainSet, ordered_loader
from overtone.training.distributed import ALONE, Ranks, Shares, accumulating
from overtone.training.inputs import Inputs
from overtone.training.microbatches import Pass, share_statistics
from overtone.training.recipe import Recipe
from overtone.training.resume import ResumeError, Saved, Stage
from overtone.training.runlog import Epoch, RunLog
from overtone.training.score import score
from overtone.training.single import is_single
from overtone.training.systems import CascadeSystem, System, autocast, build

NORMALISE_ON = 2048
# Epochs between looks at the calibration part; each look costs a tenth of an epoch.
SCORE_EVERY = 4
CHANNELS_LAST = torch.channels_last
Batches = DataLoader[tuple[Tensor, Tensor]]


@dataclass
class Tally:
    """Sums over the pictures of an epoch so far, kept on the device: loss, right answers, pictures."""

    values: Tensor

    def add(self, loss: Tensor, logits: Tensor, target: Tensor) -> None:
        """Count a batch with this mean loss."""
        n = len(target)
        right = (logits.argmax(1) == target).sum()
        self.values += torch.stack([loss.detach() * n, right, torch.full_like(right, n)])


class Trainer:
    """Trains a system on `train` by `recipe`; everything it needs to go on stands in `folder`."""

    def __init__(
        self,
        recipe: Recipe,
        train: Pictures,
        calibration: Pictures,
        folder: Path,
        device: torch.device,
        workers: int,
        ranks: Ranks = ALONE,
    ) -> None:
        self.recipe, self.train, self.calibration = recipe, train, calibration
        self.folder, self.device, self.workers, self.ranks = folder, device, workers, ranks
        torch.manual_seed(recipe.seed)
        self.system: System = build(recipe, len(train.classes))
        self.system.module.to(device, memory_format=CHANNELS_LAST)  # type: ignore[call-overload]
        self.inputs = Inputs(self.system.channels, recipe.quality, device)
        self.source = source(train, recipe.size)
        folder.mkdir(parents=True, exist_ok=True)
        self._check_batch()

    def _check_batch(self) -> None:
        batch, parts = min(self.recipe.optimiser.batch, len(self.train)), self.recipe.optimiser.accumulate
        if batch < parts * self.ranks.count:
            raise ResumeError(
                f"a batch of {batch} cannot be shared by {self.ranks.count} processes in {parts} part(s) each"
            )

    def run(self) -> System:
        """All steps, from the last finished epoch on; the trained system on return.

        Raises:
            ResumeError: the folder holds another recipe's run.
        """
        saved = resume.read(self.folder / "last.safetensors", self.recipe.model_dump_json())
        if saved:
            self._load(saved)
        elif self.recipe.start:
            self._start(self.recipe.start)
        else:
            self._measure_normalisation()
        if not self.ranks.leads:
            return self._steps(saved, None)
        with RunLog(self.folder, *((saved.step, saved.epoch) if saved else ())) as log:
            return self._steps(saved, log)

    def _steps(self, saved: Saved | None, log: RunLog | None) -> System:
        for step, epochs in enumerate(self.recipe.epochs):
            if saved and saved.step == step and saved.epoch < epochs:
                self._step(step, saved, log)
            elif not saved or saved.step < step:
                self._step(step, None, log)
        return self.system

    def _start(self, checkpoint: str) -> None:
        """Begin with the weights of another run; with other classes the classifiers are learned anew."""
        mine = self.system.module
        model: nn.Module
        if isinstance(self.system, CascadeSystem):
            model, card = load(checkpoint, self.device)
            own = self.system.module.architecture
            classes, same = card.classes, card.architecture.model_copy(update={"classes": own.classes}) == own
        elif isinstance(mine, PatchResNet) and not is_single(find(checkpoint)):
            cascade, card = load(checkpoint, self.device)
            model, classes = from_cascade(cascade), card.classes
            same = _shapes(model) == _shapes(mine)
        else:
            trained = weights.load(Path(checkpoint))
            model, classes = trained.system.module, trained.classes
            same = trained.recipe.network == self.recipe.network
        if not same:
            raise ResumeError(f"{checkpoint} has another network than {self.recipe.name}")
        known = model.state_dict()
        if classes != self.train.classes:
            linear = tuple(f"{name}." for name, part in mine.named_modules() if isinstance(part, nn.Linear))
            known |= {k: v for k, v in mine.state_dict().items() if k.startswith(linear)}
        mine.load_state_dict(known)

    def _load(self, saved: Saved) -> None:
        self.system.module.load_state_dict(saved.weights())
        if saved.epoch >= self.recipe.epochs[saved.step]:
            stage = self._stage(saved.step)
            saved.restore(stage)
            self._settle(stage)

    def _step(self, step: int, saved: Saved | None, log: RunLog | None) -> None:
        stage = self._stage(step)
        if saved:
            saved.restore(stage)
        sampler, loader = self._loader(step)
        epochs = self.recipe.epochs[step]
        with EpochBar(shown=self.ranks.leads) as bar:
            for epoch in range(saved.epoch if saved else 0, epochs):
                size = self.recipe.size_at(epoch / epochs)
                sampler.set(epoch, size)
                bar.begin(f"step {step + 1} epoch {epoch + 1}/{epochs}", len(sampler))
                line = self._epoch(stage, epoch, sampler, loader, bar)
                bar.end(str(line))
                if log:
                    self._keep(stage, line, log)
        self._settle(stage)

    def _settle(self, stage: Stage) -> None:
        """Keep the averaged weights where they are at least as good on the calibration part.

        An average over steps that were too long does not fit its batch statistics, and can be far worse.
        """
        if stage.ema is None:
            return
        averaged = stage.ema.module
        last = self._score(stage.step, self.system)
        mean = self._score(stage.step, self.system.around(averaged))
        if last is not None and mean is not None and self.ranks.leads:
            scores = f"calibration {last:.1%} with the last weights, {mean:.1%} with the averaged ones"
            Console().print(f"step {stage.step + 1}: {scores}", soft_wrap=True)
        if last is None or mean is None or mean >= last:
            self.system.module.load_state_dict(averaged.state_dict())

    def _stage(self, step: int) -> Stage:
        o, module = self.recipe.optimiser, self.system.module
        parameters = [p for part in self.system.steps()[step] for p in part.parameters()]
        module.requires_grad_(False)
        for parameter in parameters:
            parameter.requires_grad_(True)
        optimiser = torch.optim.SGD(
            parameters, o.lr, o.momentum, weight_decay=o.weight_decay, nesterov=o.momentum > 0
        )
        ema = None
        if o.ema:
            ema = AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(o.ema), use_buffers=True)
        return Stage(step, parameters, optimiser, ema, self.ranks.wrap(Pass(self.system, step)))

    def _loader(self, step: int) -> tuple[EpochSampler, Batches]:
        sampler = EpochSampler(len(self.train), self.recipe.optimiser.batch, self.recipe.seed + step)
        loader = DataLoader(
            TrainSet(self.train.targets, self.source, self.recipe.augmentation),
            batch_sampler=Shares(sampler, self.ranks),
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=self.device.type == "cuda",
        )
        return sampler, cast(Batches, loader)

    def _epoch(
        self, stage: Stage, epoch: int, sampler: EpochSampler, loader: Batches, bar: EpochBar
    ) -> Epoch:
        # Frozen parts stay in eval mode, or their batch statistics would drift away from what was trained.
        self.system.module.eval()
        for part in self.system.steps()[stage.step]:
            part.train()
        # Before the seeds: a loader draws from torch's generator when it starts, and only then.
        batches = iter(loader)
        generator = self._seeded(stage.step, epoch)
        tally, started = Tally(torch.zeros(3, device=self.device)), time.perf_counter()
        for i, (rgb, target) in enumerate(batches):
            lr = self.recipe.optimiser.rate(epoch + i / len(sampler), self.recipe.epochs[stage.step])
            drawn = self.inputs.draw(sampler.batch, generator)
            x = self.inputs.quantised(rgb, drawn and drawn.of(self.ranks.share(sampler.batch)))
            self._update(stage, lr, x, target.to(self.device), sampler.batch, tally)
            speed = (i + 1) * sampler.batch / (time.perf_counter() - started)
            bar.advance(f"{speed:.0f} images/s")
        for module in (self.system.module, stage.ema):
            if module is not None:
                self.ranks.average_buffers(module)
        loss, right, seen = self.ranks.sum(tally.values).tolist()
        last = epoch + 1 == self.recipe.epochs[stage.step]
        held_out = self._score(stage.step, self.system) if last or (epoch + 1) % SCORE_EVERY == 0 else None
        seconds = time.perf_counter() - started
        return Epoch(stage.step, epoch, sampler.size, lr, loss / seen, right / seen, held_out, speed, seconds)

    def _seeded(self, step: int, epoch: int) -> torch.Generator:
        """What is random in an epoch but the pictures: a generator for quantiser steps, and torch's own."""
        seed = (self.recipe.seed * 2 + step) * 10_007 + epoch
        torch.manual_seed(seed * 1_009 + self.ranks.rank)
        return torch.Generator().manual_seed(seed)

    def _update(self, stage: Stage, lr: float, x: Tensor, target: Tensor, batch: int, tally: Tally) -> None:
        """One step of the optimiser, on this rank's share of a batch in as many parts as the recipe says."""
        for group in stage.optimiser.param_groups:
            group["lr"] = lr
        stage.optimiser.zero_grad(set_to_none=True)
        parts = self.recipe.optimiser.accumulate
        for i, (x_part, target_part) in enumerate(
            zip(x.tensor_split(parts), target.tensor_split(parts), strict=True)
        ):
            share_statistics(self.system.steps()[stage.step], i, parts)
            # What DistributedDataParallel divides by must not make the shares smaller than they are.
            weight = len(target_part) * self.ranks.count / batch
            with accumulating(stage.forward, last=i + 1 == parts):
                with autocast(self.device):
                    logits, penalty = stage.forward(x_part)
                    goal = self._goal(stage.step, x_part, target_part)
                    loss = functional.cross_entropy(logits.float(), goal) + penalty
                (loss * weight).backward()
            tally.add(loss, logits, target_part)
        stage.optimiser.step()
        if stage.ema:
            stage.ema.update_parameters(self.system.module)

    @torch.no_grad()
    def _goal(self, step: int, x: Tensor, target: Tensor) -> Tensor:
        """What the network should say, float32[N, classes]: smoothed truth, and for low what high says."""
        o, classes = self.recipe.optimiser, len(self.train.classes)
        goal = functional.one_hot(target, classes) * (1 - o.label_smoothing) + o.label_smoothing / classes
        if step == 0 or not o.distil:
            return goal
        taught = self.system.logits(0, x).float().softmax(dim=1)
        return torch.lerp(goal, taught, o.distil)

    def _score(self, step: int, system: System) -> float | None:
        """Calibration top-1 of what a step trains, at a middle quality; None without a calibration part."""
        if not len(self.calibration):
            return None
        mine = self.calibration.take(range(self.ranks.rank, len(self.calibration), self.ranks.count))
        batches = cast(Batches, ordered_loader(mine, self.recipe.size, view=self.recipe.view))
        found = score(system, step, self.inputs, batches, self.inputs.middle)
        right = self.ranks.sum(torch.tensor(float(found.first), device=self.device))
        return float(right) / len(self.calibration)

    def _measure_normalisation(self) -> None:
        """Mean and standard deviation of each channel over the training pictures, into the system."""
        stride = max(1, len(self.train) // NORMALISE_ON)
        sample = self.train.take(range(0, len(self.train), stride))
        batches = cast(Batches, ordered_loader(sample, self.recipe.size))
        self.system.normalise(*self.inputs.statistics(batches))

    def _keep(self, stage: Stage, line: Epoch, log: RunLog) -> None:
        log.add(line)
        path = self.folder / "last.safetensors"
        resume.save(path, self.recipe.model_dump_json(), self.system.module, stage, line.epoch + 1)


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    """Of all weights but the classifier's, which is learned anew where classes differ."""
    return {k: v.shape for k, v in module.state_dict().items() if not k.startswith("head.")}
