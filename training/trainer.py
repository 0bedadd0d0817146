"""The two-step training of a cascade (the report, 3.2.3), resumable after every epoch."""

import json
import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from frequency.channels import HIGH, LOW
from models import load
from models.cascade import Cascade
from training import resume
from training.cache import source
from training.data import Augmentation, EpochSampler, Pictures, TrainSet, ordered_loader
from training.recipe import Recipe
from training.resume import ResumeError, Saved, Stage
from training.transform import BlockDCT, draw_steps, requantise

NORMALISE_ON = 2048
# Epochs between looks at the calibration part; each look costs a tenth of an epoch.
SCORE_EVERY = 4
CHANNELS = len(LOW + HIGH)
CHANNELS_LAST = torch.channels_last


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 where the device computes it in hardware, else float32."""
    capable = device.type == "cuda" or torch.cpu.get_capabilities().get("avx512_bf16", False)
    return torch.autocast(device.type, torch.bfloat16) if capable else nullcontext()


@dataclass
class Epoch:
    """One line of the log; accuracies are fractions, `calibration_top1` None where it was not measured."""

    step: int
    epoch: int
    size: int
    lr: float
    loss: float
    top1: float
    calibration_top1: float | None
    images_per_second: float

    def __str__(self) -> str:
        held_out = "" if self.calibration_top1 is None else f"calibration {self.calibration_top1:.1%}, "
        return (
            f"step {self.step + 1} epoch {self.epoch + 1} at {self.size} px: loss {self.loss:.3f}, "
            f"train {self.top1:.1%}, {held_out}{self.images_per_second:.0f} images/s"
        )


class Trainer:
    """Trains a cascade on `train` by `recipe`; everything it needs to go on stands in `folder`."""

    def __init__(
        self,
        recipe: Recipe,
        train: Pictures,
        calibration: Pictures,
        folder: Path,
        device: torch.device,
        workers: int,
    ) -> None:
        self.recipe, self.train, self.calibration = recipe, train, calibration
        self.folder, self.device, self.workers = folder, device, workers
        torch.manual_seed(recipe.seed)
        self.model = Cascade(recipe.network.architecture(len(train.classes)))
        self.model.to(device, memory_format=CHANNELS_LAST)  # type: ignore[call-overload]
        self.dct = BlockDCT(LOW + HIGH).to(device)
        self.source = source(train, recipe.size)
        folder.mkdir(parents=True, exist_ok=True)

    def run(self) -> Cascade:
        """Both steps, from the last finished epoch on; the trained model on return.

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
        for step, epochs in enumerate(self.recipe.epochs):
            if saved and saved.step == step and saved.epoch < epochs:
                self._step(step, saved)
            elif not saved or saved.step < step:
                self._step(step, None)
        return self.model

    def _start(self, checkpoint: str) -> None:
        model, card = load(checkpoint, self.device)
        if model.architecture != self.model.architecture or card.classes != self.train.classes:
            raise ResumeError(f"{checkpoint} has another network or other classes than {self.recipe.name}")
        self.model.load_state_dict(model.state_dict())

    def _load(self, saved: Saved) -> None:
        self.model.load_state_dict(saved.weights())
        if saved.epoch >= self.recipe.epochs[saved.step]:
            stage = self._stage(saved.step)
            saved.restore(stage)
            self._settle(stage)

    def _step(self, step: int, saved: Saved | None) -> None:
        stage = self._stage(step)
        if saved:
            saved.restore(stage)
        loader, sampler = self._loader(step)
        epochs = self.recipe.epochs[step]
        with _progress() as progress:
            for epoch in range(saved.epoch if saved else 0, epochs):
                size = self.recipe.size_at(epoch / epochs)
                sampler.set(epoch, size)
                task = progress.add_task(
                    f"step {step + 1} epoch {epoch + 1}/{epochs}", total=len(sampler), info=""
                )
                line = self._epoch(stage, epoch, size, loader, progress, task)
                progress.remove_task(task)
                progress.console.print(str(line), soft_wrap=True)
                self._keep(stage, line)
        self._settle(stage)

    def _settle(self, stage: Stage) -> None:
        """Keep the averaged weights where they are at least as good on the calibration part.

        An average over steps that were too long does not fit its batch statistics, and can be far worse.
        """
        if stage.ema is None:
            return
        averaged = stage.ema.module
        assert isinstance(averaged, Cascade)
        last, mean = self._score(stage.step, self.model), self._score(stage.step, averaged)
        if last is not None and mean is not None:
            scores = f"calibration {last:.1%} with the last weights, {mean:.1%} with the averaged ones"
            Console().print(f"step {stage.step + 1}: {scores}", soft_wrap=True)
        if last is None or mean is None or mean >= last:
            self.model.load_state_dict(averaged.state_dict())

    def _stage(self, step: int) -> Stage:
        o = self.recipe.optimiser
        parameters = [p for part in self.model.steps()[step] for p in part.parameters()]
        self.model.requires_grad_(False)
        for parameter in parameters:
            parameter.requires_grad_(True)
        optimiser = torch.optim.SGD(
            parameters, o.lr, o.momentum, weight_decay=o.weight_decay, nesterov=o.momentum > 0
        )
        ema = None
        if o.ema:
            ema = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(o.ema), use_buffers=True)
        return Stage(step, parameters, optimiser, ema)

    def _loader(self, step: int) -> tuple[DataLoader[tuple[Tensor, int]], EpochSampler]:
        sampler = EpochSampler(len(self.train), self.recipe.optimiser.batch, self.recipe.seed + step)
        augmentation = Augmentation(**self.recipe.augment.model_dump())
        loader = DataLoader(
            TrainSet(self.train.targets, self.source, augmentation),
            batch_sampler=sampler,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=self.device.type == "cuda",
        )
        return loader, sampler

    def _epoch(
        self,
        stage: Stage,
        epoch: int,
        size: int,
        loader: DataLoader[tuple[Tensor, int]],
        progress: Progress,
        task: TaskID,
    ) -> Epoch:
        # Frozen parts stay in eval mode, or their batch statistics would drift away from what was trained.
        self.model.eval()
        for part in self.model.steps()[stage.step]:
            part.train()
        seed = (self.recipe.seed * 2 + stage.step) * 10_007 + epoch
        generator = torch.Generator().manual_seed(seed)
        loss_sum, right, seen, started = 0.0, 0, 0, time.perf_counter()
        for i, (rgb, target) in enumerate(loader):
            lr = self._lr(stage.step, epoch + i / len(loader))
            loss, hits = self._update(stage, lr, self._training_maps(rgb, generator), target.to(self.device))
            loss_sum, right, seen = loss_sum + loss * len(target), right + hits, seen + len(target)
            speed = seen / (time.perf_counter() - started)
            progress.update(task, advance=1, info=f"{speed:.0f} images/s")
        score = self._score(stage.step, self.model) if (epoch + 1) % SCORE_EVERY == 0 else None
        return Epoch(stage.step, epoch, size, lr, loss_sum / seen, right / seen, score, speed)

    def _update(self, stage: Stage, lr: float, x: Tensor, target: Tensor) -> tuple[float, int]:
        """One step of the optimiser: (mean loss, how many were right)."""
        for group in stage.optimiser.param_groups:
            group["lr"] = lr
        with autocast(self.device):
            logits = self._logits(self.model, stage.step, x)
            loss = functional.cross_entropy(logits.float(), self._goal(stage.step, x, target))
        stage.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        stage.optimiser.step()
        if stage.ema:
            stage.ema.update_parameters(self.model)
        return loss.item(), int((logits.argmax(1) == target).sum())

    @torch.no_grad()
    def _goal(self, step: int, x: Tensor, target: Tensor) -> Tensor:
        """What the network should say, float32[N, classes]: smoothed truth, and for low what high says."""
        o, classes = self.recipe.optimiser, self.model.architecture.classes
        goal = functional.one_hot(target, classes) * (1 - o.label_smoothing) + o.label_smoothing / classes
        if step == 0 or not o.distil:
            return goal
        taught = self._logits(self.model, 0, x).float().softmax(dim=1)
        return torch.lerp(goal, taught, o.distil)

    def _training_maps(self, rgb: Tensor, generator: torch.Generator) -> Tensor:
        fine, coarse = min(self.recipe.quality.steps), max(self.recipe.quality.steps)
        return self._maps(rgb, draw_steps(len(rgb), fine, coarse, generator))

    def _maps(self, rgb: Tensor, steps: Tensor) -> Tensor:
        x = requantise(self.dct(rgb.to(self.device)), steps.to(self.device))
        return x.contiguous(memory_format=CHANNELS_LAST)

    def _logits(self, model: Cascade, step: int, x: Tensor) -> Tensor:
        x6, x18 = x[:, : len(LOW)], x[:, len(LOW) :]
        trains_high = model.high_head in model.steps()[step]
        return model(x6, x18) if trains_high else model.low(x6)[0]

    def _lr(self, step: int, epoch: float) -> float:
        o, epochs = self.recipe.optimiser, self.recipe.epochs[step]
        if epoch < o.warmup:
            return o.lr * (epoch + 0.01) / o.warmup
        return o.lr * 0.5 * (1 + math.cos(math.pi * (epoch - o.warmup) / max(epochs - o.warmup, 1e-9)))

    @torch.inference_mode()
    def _score(self, step: int, model: Cascade) -> float | None:
        """Calibration top-1 of what a step trains, at a middle quality; None without a calibration part."""
        if not len(self.calibration):
            return None
        model.eval()
        steps = self.recipe.quality.steps
        middle, right = torch.tensor(float(steps[len(steps) // 2])), 0
        for rgb, target in ordered_loader(self.calibration, self.recipe.size):
            with autocast(self.device):
                logits = self._logits(model, step, self._maps(rgb, middle))
            right += int((logits.argmax(1).cpu() == target).sum())
        return right / len(self.calibration)

    @torch.inference_mode()
    def _measure_normalisation(self) -> None:
        """Mean and standard deviation of each channel's coefficients over the training pictures."""
        stride = max(1, len(self.train) // NORMALISE_ON)
        sample = self.train.take(range(0, len(self.train), stride))
        total, square = torch.zeros(2, CHANNELS, dtype=torch.float64)
        count = 0
        for rgb, _ in ordered_loader(sample, self.recipe.size):
            x = self.dct(rgb.to(self.device)).double().cpu()
            total += x.sum(dim=(0, 2, 3))
            square += (x * x).sum(dim=(0, 2, 3))
            count += x[:, 0].numel()
        mean = total / count
        std = (square / count - mean**2).clamp_min(1e-6).sqrt()
        bands = (self.model.low_norm, slice(None, len(LOW))), (self.model.high_norm, slice(len(LOW), None))
        for norm, part in bands:
            norm.mean.copy_(mean[part, None, None])
            norm.std.copy_(std[part, None, None])

    def _keep(self, stage: Stage, line: Epoch) -> None:
        path = self.folder / "last.safetensors"
        resume.save(path, self.recipe.model_dump_json(), self.model, stage, line.epoch + 1)
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(asdict(line)) + "\n")


def _progress() -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    return Progress(*columns, TextColumn("{task.fields[info]}"), TimeRemainingColumn(), transient=True)


def epochs_of(log: Path) -> Iterator[Epoch]:
    """The finished epochs a run has logged."""
    for line in log.read_text("utf-8").splitlines():
        yield Epoch(**json.loads(line))
