"""Training of a classifier step by step, resumable after every epoch."""

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
from overtone.training.data.augmentation import blended
from overtone.training.data.cache import open_source
from overtone.training.inputs import Inputs
from overtone.training.network_configs import Tensors
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
NEW_CLASS_STD = 0.01


class Trainer:
    """Trains a recipe's network on `train`; `folder` holds everything that is needed to resume.

    `on_epoch` is called after each epoch, once it is logged and saved. With a `teacher`, images need no labels:
    the targets are its answers to the same crops before quantisation.
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
        teacher: nn.Module | None = None,
    ) -> None:
        self.teacher = teacher
        # Batches of an epoch whose gradients were not finite.
        self.skipped = 0
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
            self._take_pretrained()
            if self.recipe.network.normalises:
                self._measure_normalisation()
        with RunLog(self.folder, Epoch, *((saved.step, saved.epoch) if saved else ())) as log:
            for step in range(saved.step if saved else 0, len(self.recipe.epochs)):
                self._step(step, saved if saved and saved.step == step else None, log)
        return self.system

    def start(self, checkpoint: str) -> None:
        """Take over the weights of a checkpoint; classifiers keep what they know of the same classes.

        Raises:
            StartError: the checkpoint holds a different network.
        """
        model, classes = self.recipe.network.start(checkpoint, self.device)
        self._take(dict(model.state_dict()), classes)

    def _take_pretrained(self) -> None:
        """Take over published weights, if the recipe's network begins with such."""
        found = self.recipe.network.pretrained()
        if found:
            self._take(*found)

    def _take(self, weights: Tensors, classes: tuple[str, ...]) -> None:
        """Load weights that were trained on these classes; unknown classes begin with small random weights."""
        mine = self.system.module.state_dict()
        known = {name: i for i, name in enumerate(classes)}
        rows = [(i, known[name]) for i, name in enumerate(self.train.classes) if name in known]
        if classes != self.train.classes:
            for name in self.recipe.network.class_weights(len(self.train.classes)):
                # Large logits of classes that are still unknown would disturb what the network knows.
                value = torch.zeros_like(mine[name])
                if value.ndim > 1:
                    value.normal_(std=NEW_CLASS_STD)
                for here, there in rows:
                    value[here] = weights[name][there]
                weights[name] = value
        # Published weights may lack the number of batches that their normalisations have seen.
        counters = {k: v for k, v in mine.items() if k.endswith("num_batches_tracked")}
        self.system.module.load_state_dict(counters | weights)

    def _step(self, step: int, saved: Saved | None, log: RunLog[Epoch]) -> None:
        active = self._activate(step)
        if saved:
            saved.restore(active)
        sampler, loader = self._loader(step)
        epochs = self.recipe.epochs[step]
        for epoch in range(saved.epoch if saved else 0, epochs):
            sampler.set(epoch, self.recipe.size_at(epoch / epochs))
            self._freeze(active, frozen=epoch < self.recipe.optimiser.frozen_epochs(epochs))
            line = self._epoch(active, epoch, sampler, loader)
            Console().print(str(line), soft_wrap=True)
            log.add(line)
            path = self.folder / "last.safetensors"
            resume.save(path, self.recipe.model_dump_json(), self.system.module, active, epoch + 1)
            self.on_epoch(line)

    def _activate(self, step: int) -> ActiveStep:
        """Set up a step, and freeze all parameters that it does not train."""
        parameters = [p for part in self.system.steps()[step] for p in part.parameters()]
        self.system.module.requires_grad_(False)
        for parameter in parameters:
            parameter.requires_grad_(True)
        return ActiveStep(step, parameters, self.recipe.optimiser.build(parameters))

    def _freeze(self, active: ActiveStep, frozen: bool) -> None:
        """Leave only classifiers and one-dimensional parameters, such as those of normalisations, to train."""
        if not self.recipe.optimiser.thaw:
            return
        class_weights = self.recipe.network.class_weights(len(self.train.classes))
        names = {id(p): name for name, p in self.system.module.named_parameters()}
        for parameter in active.parameters:
            free = parameter.ndim <= 1 or names[id(parameter)] in class_weights
            parameter.requires_grad_(free or not frozen)

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
        generator = self.recipe.generator(active.step, epoch)
        known = self.recipe.quality.known_factors(self.system.band(active.step))
        distils = self.teacher is None and self.recipe.optimiser.distil > 0
        epochs, started = self.recipe.epochs[active.step], time.perf_counter()
        # Sums over the images so far, on the device: loss, correct answers, images.
        sums, self.skipped = torch.zeros(3, device=self.device), 0
        what = f"step {active.step + 1} epoch {epoch + 1}/{epochs}"
        for i, (rgb, target) in enumerate(tracked(batches, what, len(sampler))):
            lr = self.recipe.optimiser.rate(epoch + i / len(sampler), epochs)
            if self.teacher is not None and self.recipe.blend:
                rgb = blended(rgb, self.recipe.blend, generator)
            quantiser = self.inputs.draw(len(rgb), generator, known)
            x = full = self.inputs.quantised(rgb, quantiser)
            if quantiser is not None and quantiser.factors is not None and active.step and distils:
                # The high network teaches with its answers to all layers.
                full = self.inputs.quantised(rgb, quantiser.finest)
            sums += self._update(active, lr, x, target.to(self.device), rgb, full)
        if self.skipped:
            Console().print(f"{self.skipped} of {len(sampler)} batches were skipped: infinite gradients")
        speed = len(sampler) * sampler.batch / (time.perf_counter() - started)
        loss, correct, seen = sums.tolist()
        measured = epoch + 1 == epochs or (epoch + 1) % SCORE_EVERY == 0
        held_out = self._calibration_top1(active.step) if measured else None
        seconds = time.perf_counter() - started
        return Epoch(
            active.step, epoch, sampler.size, lr, loss / seen, correct / seen, held_out, speed, seconds
        )

    def _update(
        self, active: ActiveStep, lr: float, x: Tensor, target: Tensor, rgb: Tensor, full: Tensor
    ) -> Tensor:
        """One step of the optimiser on a batch; the sums of loss, correct answers and images.

        `full` has the inputs of the batch after all layers, for the network that teaches.
        """
        for group in active.optimiser.param_groups:
            group["lr"] = lr
        active.optimiser.zero_grad(set_to_none=True)
        parts = min(self.recipe.optimiser.accumulate, len(target))
        sums = torch.zeros(3, device=self.device)
        split = (values.tensor_split(parts) for values in (x, target, rgb, full))
        for i, (x_part, target_part, rgb_part, full_part) in enumerate(zip(*split, strict=True)):
            self._set_momentum(active.step, i, parts)
            n = len(target_part)
            with autocast(self.device, self.system):
                logits = self.system.logits(active.step, x_part)
                goal = self.targets(active.step, full_part, target_part, rgb_part)
                loss = functional.cross_entropy(logits.float(), goal) + self.system.penalty()
            (loss * (n / len(target))).backward()
            wanted = target_part if self.teacher is None else goal.argmax(1)
            correct = (logits.argmax(1) == wanted).sum()
            sums += torch.stack([loss.detach() * n, correct, torch.full_like(correct, n)])
        if self.recipe.optimiser.clip:
            norm = nn.utils.clip_grad_norm_(active.parameters, self.recipe.optimiser.clip)
            if not norm.isfinite():
                # One such step would make all weights useless.
                self.skipped += 1
                return sums
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
    def targets(self, step: int, x: Tensor, target: Tensor, rgb: Tensor | None = None) -> Tensor:
        """Target probabilities float32[N, classes]: smoothed labels, for low mixed with high's answers.

        A teacher's answers to the images `rgb` uint8[N, 3, H, W] take the place of labels.
        """
        if self.teacher is not None and rgb is not None:
            answers: Tensor = self.teacher(rgb.to(self.device)).float().softmax(dim=1)
            return answers
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
