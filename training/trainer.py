"""The two-step training of a cascade (the report, 3.2.3), resumable after every epoch."""

import json
import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from frequency.channels import HIGH, LOW
from models.cascade import Cascade
from training.data import Augmentation, EpochSampler, Pictures, TrainSet, ordered_loader
from training.recipe import Recipe
from training.transform import BlockDCT, draw_steps, requantise

NORMALISE_ON = 2048
Path_ = Literal["low", "high"]


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 where the device computes it in hardware, else float32."""
    capable = device.type == "cuda" or torch.cpu.get_capabilities().get("avx512_bf16", False)
    return torch.autocast(device.type, torch.bfloat16) if capable else nullcontext()


@dataclass
class Epoch:
    """One line of the log."""

    step: int
    epoch: int
    size: int
    lr: float
    loss: float
    top1: float
    calibration_top1: float
    images_per_second: float


class Trainer:
    """Trains `model` on `train` by `recipe`; everything it needs to go on stands in `folder`."""

    def __init__(
        self, recipe: Recipe, train: Pictures, calibration: Pictures, folder: Path, device: torch.device, workers: int
    ) -> None:
        self.recipe, self.train, self.calibration = recipe, train, calibration
        self.folder, self.device, self.workers = folder, device, workers
        torch.manual_seed(recipe.seed)
        architecture = recipe.network.architecture(len(train.classes))
        self.model = Cascade(architecture).to(device, memory_format=torch.channels_last)
        self.dct = BlockDCT(LOW + HIGH).to(device)
        self.done = (0, 0)
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def checkpoint(self) -> Path:
        """Where the last finished epoch is kept."""
        return self.folder / "last.safetensors"

    def run(self) -> Cascade:
        """Both steps, from the last finished epoch on; the trained model on return."""
        restored = self._restore()
        if not restored:
            self._measure_normalisation()
        for step in (0, 1):
            if self.done[0] > step or (self.done[0] == step and self.done[1] >= self.recipe.epochs[step]):
                continue
            self._step(step, restored if restored and restored["step"] == step else None)
        return self.model

    def _step(self, step: int, restored: dict[str, Tensor | int] | None) -> None:
        parts, path = self._prepare(step)
        parameters = [p for part in parts for p in part.parameters()]
        o = self.recipe.optimiser
        optimiser = torch.optim.SGD(
            parameters, o.lr, o.momentum, weight_decay=o.weight_decay, nesterov=o.momentum > 0
        )
        ema = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(o.ema), use_buffers=True) if o.ema else None
        if restored:
            self._restore_optimiser(restored, parameters, optimiser, ema)
        sampler = EpochSampler(len(self.train), o.batch, self.recipe.seed + step)
        augmentation = Augmentation(**self.recipe.augment.model_dump())
        loader = DataLoader(
            TrainSet(self.train, augmentation),
            batch_sampler=sampler,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=self.device.type == "cuda",
        )
        epochs = self.recipe.epochs[step]
        with _progress() as progress:
            for epoch in range(self.done[1] if restored else 0, epochs):
                size = self.recipe.size_at(epoch / epochs)
                sampler.set(epoch, size)
                task = progress.add_task(f"step {step + 1} epoch {epoch + 1}", total=len(sampler), info="")
                line = self._epoch(step, epoch, size, path, parts, loader, optimiser, ema, progress, task)
                progress.console.print(
                    f"step {step + 1} epoch {epoch + 1}/{epochs} {size}px: loss {line.loss:.3f}, "
                    f"train {line.top1:.1%}, calibration {line.calibration_top1:.1%}, "
                    f"{line.images_per_second:.0f} images/s"
                )
                progress.remove_task(task)
                self._save(step, epoch + 1, parameters, optimiser, ema)
                with (self.folder / "log.jsonl").open("a") as log:
                    log.write(json.dumps(asdict(line)) + "\n")
        if ema:
            self.model.load_state_dict(ema.module.state_dict())

    def _prepare(self, step: int) -> tuple[tuple[nn.Module, ...], Path_]:
        parts = self.model.steps()[step]
        self.model.requires_grad_(False)
        for part in parts:
            part.requires_grad_(True)
        return parts, "high" if self.model.high_head in parts else "low"

    def _epoch(
        self,
        step: int,
        epoch: int,
        size: int,
        path: Path_,
        parts: tuple[nn.Module, ...],
        loader: DataLoader[tuple[Tensor, int]],
        optimiser: torch.optim.SGD,
        ema: AveragedModel | None,
        progress: Progress,
        task: object,
    ) -> Epoch:
        # Frozen parts stay in eval mode, or their batch statistics would drift away from what was trained.
        self.model.eval()
        for part in parts:
            part.train()
        generator = torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + step * 1009 + epoch)
        loss_sum, right, seen, started, lr = 0.0, 0, 0, time.perf_counter(), 0.0
        for i, (rgb, target) in enumerate(loader):
            lr = self._lr(step, epoch + i / len(loader))
            for group in optimiser.param_groups:
                group["lr"] = lr
            x = self._coefficients(rgb.to(self.device), generator)
            target = target.to(self.device)
            with autocast(self.device):
                logits = self._logits(x, path)
                loss = functional.cross_entropy(
                    logits.float(), target, label_smoothing=self.recipe.optimiser.label_smoothing
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            if ema:
                ema.update_parameters(self.model)
            loss_sum += loss.item() * len(target)
            right += int((logits.argmax(1) == target).sum())
            seen += len(target)
            progress.update(task, advance=1, info=f"{seen / (time.perf_counter() - started):.0f} images/s")  # type: ignore[arg-type]
        speed = seen / (time.perf_counter() - started)
        score = self._score(ema.module if ema else self.model, path)
        return Epoch(step, epoch, size, lr, loss_sum / seen, right / seen, score, speed)

    def _coefficients(self, rgb: Tensor, generator: torch.Generator) -> Tensor:
        fine, coarse = min(self.recipe.quality.steps), max(self.recipe.quality.steps)
        steps = draw_steps(len(rgb), fine, coarse, generator).to(self.device)
        return requantise(self.dct(rgb), steps).contiguous(memory_format=torch.channels_last)

    def _logits(self, x: Tensor, path: Path_, model: nn.Module | None = None) -> Tensor:
        cascade = self.model if model is None else model
        assert isinstance(cascade, Cascade)
        x6, x18 = x[:, : len(LOW)], x[:, len(LOW) :]
        return cascade.low(x6)[0] if path == "low" else cascade(x6, x18)

    def _lr(self, step: int, epoch: float) -> float:
        o, epochs = self.recipe.optimiser, self.recipe.epochs[step]
        if epoch < o.warmup:
            return o.lr * (epoch + 0.01) / o.warmup
        return o.lr * 0.5 * (1 + math.cos(math.pi * (epoch - o.warmup) / max(epochs - o.warmup, 1e-9)))

    @torch.inference_mode()
    def _score(self, model: nn.Module, path: Path_) -> float:
        """Top-1 on the calibration part at a middle quality, to watch the training by; nothing is chosen by it."""
        if not len(self.calibration):
            return math.nan
        model.eval()
        steps = self.recipe.quality.steps
        step = torch.tensor(float(steps[len(steps) // 2]))
        right = 0
        for rgb, target in ordered_loader(self.calibration, self.recipe.size):
            x = requantise(self.dct(rgb.to(self.device)), step).contiguous(memory_format=torch.channels_last)
            with autocast(self.device):
                right += int((self._logits(x, path, model).argmax(1).cpu() == target).sum())
        return right / len(self.calibration)

    @torch.inference_mode()
    def _measure_normalisation(self) -> None:
        """Mean and standard deviation of each channel's coefficients over the training pictures."""
        stride = max(1, len(self.train) // NORMALISE_ON)
        sample = self.train.take(range(0, len(self.train), stride))
        total, square, count = torch.zeros(24, dtype=torch.float64), torch.zeros(24, dtype=torch.float64), 0
        for rgb, _ in ordered_loader(sample, self.recipe.size):
            x = self.dct(rgb.to(self.device)).double().cpu()
            total += x.sum(dim=(0, 2, 3))
            square += (x * x).sum(dim=(0, 2, 3))
            count += x.shape[0] * x.shape[2] * x.shape[3]
        mean = total / count
        std = (square / count - mean**2).clamp_min(1e-6).sqrt()
        n = len(LOW)
        for norm, part in ((self.model.low_norm, slice(0, n)), (self.model.high_norm, slice(n, None))):
            norm.mean.copy_(mean[part, None, None])
            norm.std.copy_(std[part, None, None])

    def _save(
        self,
        step: int,
        epoch: int,
        parameters: list[nn.Parameter],
        optimiser: torch.optim.SGD,
        ema: AveragedModel | None,
    ) -> None:
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        for i, p in enumerate(parameters):
            tensors[f"momentum.{i}"] = optimiser.state[p]["momentum_buffer"]
        if ema:
            tensors |= {f"ema.{k}": v for k, v in ema.state_dict().items()}
        tensors = {k: v.contiguous() for k, v in tensors.items()}
        temporary = self.checkpoint.with_suffix(".part")
        meta = {"step": str(step), "epoch": str(epoch), "recipe": self.recipe.model_dump_json()}
        save_file(tensors, temporary, meta)
        temporary.replace(self.checkpoint)

    def _restore(self) -> dict[str, Tensor | int] | None:
        if not self.checkpoint.exists():
            return None
        with safe_open(self.checkpoint, "pt") as file:
            meta = file.metadata()
            tensors: dict[str, Tensor | int] = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
        if meta["recipe"] != self.recipe.model_dump_json():
            raise ValueError(f"{self.checkpoint} was written by another recipe; choose another --out")
        step, epoch = int(meta["step"]), int(meta["epoch"])
        finished = epoch >= self.recipe.epochs[step]
        source = "ema.module." if finished and self.recipe.optimiser.ema else "model."
        self.model.load_state_dict({k.removeprefix(source): v for k, v in tensors.items() if k.startswith(source)})
        self.done = (step, epoch)
        return tensors | {"step": step}

    def _restore_optimiser(
        self,
        tensors: dict[str, Tensor | int],
        parameters: list[nn.Parameter],
        optimiser: torch.optim.SGD,
        ema: AveragedModel | None,
    ) -> None:
        for i, p in enumerate(parameters):
            momentum = tensors[f"momentum.{i}"]
            assert isinstance(momentum, Tensor)
            optimiser.state[p]["momentum_buffer"] = momentum.to(self.device)
        if ema:
            ema.load_state_dict({k.removeprefix("ema."): v for k, v in tensors.items() if k.startswith("ema.")})


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[info]}"))
    return Progress(*columns, TimeRemainingColumn(), transient=True)


def epochs_of(log: Path) -> Iterator[Epoch]:
    """The finished epochs a run has logged."""
    for line in log.read_text("utf-8").splitlines():
        yield Epoch(**json.loads(line))
