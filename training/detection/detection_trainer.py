"""Training of a detector, one network after the other, resumable after every epoch."""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.utils.data import DataLoader

from overtone.frequency.ladder import Band
from overtone.models.detection.detections import Detections
from overtone.models.detection.detector import Detector, PixelDetector, build
from overtone.models.detection.features import BodyFeatures, FeatureConfig
from overtone.models.detection.region_network import RegionNetwork, Target
from overtone.training import resume
from overtone.training.data import EpochSampler
from overtone.training.data.cache import open_source
from overtone.training.detection.average_precision import measure
from overtone.training.detection.batches import SceneSet, SquareSet, collate
from overtone.training.detection.log import DetectionEpoch
from overtone.training.detection.pictures import Pictures
from overtone.training.detection.predictions import predict_squares
from overtone.training.detection.recipe import DetectionRecipe, DetectorConfig
from overtone.training.detection.region_masks import shown_in_regions
from overtone.training.detection.start import start
from overtone.training.inputs import Inputs
from overtone.training.progress import tracked
from overtone.training.resume import ActiveStep, Saved
from overtone.training.run_log import RunLog
from overtone.training.systems import set_normalisation
from overtone.training.trainer import NORMALISE_ON
from overtone.training.transform import draw_factors

# Epochs between measurements on the calibration split.
SCORE_EVERY = 4
BANDS: tuple[Band, Band] = ("low", "high")


class DetectionTrainer:
    """Trains a recipe's detector on `train`; `folder` holds everything that is needed to resume."""

    def __init__(
        self,
        recipe: DetectionRecipe,
        train: Pictures,
        calibration: Pictures,
        folder: Path,
        device: torch.device,
        workers: int,
        on_epoch: Callable[[DetectionEpoch], object] = lambda line: None,
    ) -> None:
        self.recipe, self.train, self.calibration = recipe, train, calibration
        self.folder, self.device, self.workers, self.on_epoch = folder, device, workers, on_epoch
        torch.manual_seed(recipe.seed)
        self.detector: Detector | PixelDetector = build(recipe.network.architecture(len(train.classes)))
        self.detector.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.inputs = [Inputs(each, recipe.quality, device) for each in recipe.network.channels]
        self.source = open_source(train.images, recipe.size)
        folder.mkdir(parents=True, exist_ok=True)

    def run(self) -> Detector | PixelDetector:
        """Train all networks, from the last finished epoch on, and return the detector.

        Raises:
            ResumeError: the folder holds a run of another recipe.
            StartError: the recipe's checkpoint has nothing to start with.
        """
        path = self.folder / "last.safetensors"
        saved = resume.read(path, self.recipe.model_dump_json(), _without_regions)
        if saved:
            self.detector.load_state_dict(saved.weights())
        elif self.recipe.start:
            start(self.detector, self.recipe.start, tuple(map(_body_name, _features(self.recipe))))
        else:
            self._measure_normalisation()
        at = (saved.step, saved.epoch) if saved else (0, 0)
        with RunLog(self.folder, DetectionEpoch, *at) as log:
            for step in range(at[0], len(self.recipe.epochs)):
                self._step(step, saved if saved and saved.step == step else None, log)
        return self.detector.eval()

    def _measure_normalisation(self) -> None:
        """Set the input normalisation of networks that have one to the statistics of the training pictures."""
        layers = [network.features.normalisation for network in self.detector.networks]
        norms = [norm for norm in layers if norm is not None]
        if norms:
            step = max(1, -(-len(self.train) // NORMALISE_ON))
            sample = self.train.take(range(0, len(self.train), step))
            mean, std = self.inputs[-1].statistics(DataLoader(SquareSet(sample, self.recipe.size), 16))
            for norm in norms:
                count = len(norm.mean)
                set_normalisation(norm, mean[:count], std[:count])

    def _step(self, step: int, saved: Saved | None, log: RunLog[DetectionEpoch]) -> None:
        network = self.detector.networks[step]
        active = self._activate(step, network)
        if saved:
            saved.restore(active)
        sampler, loader = self._loader(step)
        epochs = self.recipe.epochs[step]
        for epoch in range(saved.epoch if saved else 0, epochs):
            sampler.set(epoch, self.recipe.size_at(epoch / epochs))
            self._freeze(network, active, epoch < self.recipe.optimiser.frozen_epochs(epochs))
            line = self._epoch(network, active, epoch, sampler, loader)
            Console().print(str(line), soft_wrap=True, highlight=False)
            log.add(line)
            path = self.folder / "last.safetensors"
            resume.save(path, self.recipe.model_dump_json(), self.detector, active, epoch + 1)
            self.on_epoch(line)

    def _activate(self, step: int, network: RegionNetwork) -> ActiveStep:
        """Set up a step with the parameters it trains: all of its network's but those of the frozen stages."""
        self.detector.requires_grad_(False)
        early = {
            id(p) for part in network.features.early(self.recipe.frozen_stages) for p in part.parameters()
        }
        parameters = [p for p in network.parameters() if id(p) not in early]
        return ActiveStep(step, parameters, self.recipe.optimiser.build(parameters))

    def _freeze(self, network: RegionNetwork, active: ActiveStep, frozen: bool) -> None:
        """Let a step train all of its parameters, or with `frozen` only the pyramid and the heads."""
        body = {id(p) for p in network.features.parameters()} if frozen else set()
        for parameter in active.parameters:
            parameter.requires_grad_(id(parameter) not in body)

    def _loader(self, step: int) -> tuple[EpochSampler, DataLoader[tuple[Tensor, Target]]]:
        sampler = EpochSampler(len(self.train), self.recipe.optimiser.batch, self.recipe.seed + step)
        loader = DataLoader(
            SceneSet(
                self.train,
                self.source,
                self.recipe.augment,
                self.recipe.network.head.masks,
                self.recipe.compression,
            ),
            batch_sampler=sampler,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            collate_fn=collate,
        )
        return sampler, loader

    def _epoch(
        self,
        network: RegionNetwork,
        active: ActiveStep,
        epoch: int,
        sampler: EpochSampler,
        loader: Iterable[tuple[Tensor, list[Target]]],
    ) -> DetectionEpoch:
        self._set_mode(network)
        # A loader draws from torch's generator when it starts, so it has to start before the seeds are set.
        batches = iter(loader)
        generator = self.recipe.generator(active.step, epoch)
        epochs, started = self.recipe.epochs[active.step], time.perf_counter()
        sums: dict[str, Tensor] = {}
        what = f"step {active.step + 1} epoch {epoch + 1}/{epochs}"
        for i, (rgb, targets) in enumerate(tracked(batches, what, len(sampler))):
            lr = self.recipe.optimiser.rate(epoch + i / len(sampler), epochs)
            losses = self._update(
                network, active, lr, self._input(active.step, rgb, targets, generator), targets
            )
            sums = {name: sums.get(name, torch.zeros(())) + value for name, value in losses.items()}
        speed = len(sampler) * sampler.batch / (time.perf_counter() - started)
        measured = epoch + 1 == epochs or (epoch + 1) % SCORE_EVERY == 0
        ap50 = self._calibration_ap50(active.step) if measured else None
        means = {name: float(value) / len(sampler) for name, value in sums.items()}
        seconds = time.perf_counter() - started
        return DetectionEpoch(active.step, epoch, sampler.size, lr, means, ap50, speed, seconds)

    def _set_mode(self, network: RegionNetwork) -> None:
        """Train the network, but leave the statistics of frozen normalisations as they are."""
        self.detector.eval()
        network.train()
        frozen = [network.features] if self.recipe.frozen_norms else []
        for part in (*frozen, *network.features.early(self.recipe.frozen_stages)):
            for module in part.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()

    def _input(self, step: int, rgb: Tensor, targets: list[Target], generator: torch.Generator) -> Tensor:
        """The inputs of a step's network for a batch: dequantised coefficients after one of its layers, or pixels.

        For the share `regions` of the pictures, the high network gets them in some blocks alone. In the other blocks
        it gets the low channels, as known after one of the low network's layers.
        """
        inputs = self.inputs[step]
        if not isinstance(self.recipe.network, DetectorConfig):
            return inputs.quantised(rgb, None)
        # All channels are drawn, so that low's are the same whichever network sees them.
        whole, quality = self.inputs[-1], self.recipe.quality
        quantiser = whole.draw(len(rgb), generator, quality.known_factors(BANDS[step]))
        x = whole.quantised(rgb, quantiser)[:, : inputs.channels]
        if BANDS[step] == "low" or not self.recipe.regions or quantiser is None:
            return x
        factors = draw_factors(len(rgb), quality.known_factors("low"), generator)
        below = whole.quantised(rgb, replace(quantiser, factors=factors))
        return shown_in_regions(x, below, targets, self.recipe.regions, generator)

    def _update(
        self, network: RegionNetwork, active: ActiveStep, lr: float, x: Tensor, targets: list[Target]
    ) -> dict[str, Tensor]:
        """One step of the optimiser on a batch; its losses."""
        for group in active.optimiser.param_groups:
            group["lr"] = lr
        active.optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
            losses = network.losses(x, [target.to(self.device) for target in targets])
        torch.stack(list(losses.values())).sum().backward()
        clip = self.recipe.optimiser.clip
        norm = nn.utils.clip_grad_norm_(active.parameters, clip or float("inf"))
        # One step with infinite gradients would make all weights useless.
        if norm.isfinite():
            active.optimiser.step()
        return {name: value.detach().cpu() for name, value in losses.items()}

    def _calibration_ap50(self, step: int) -> float | None:
        """AP50 of a network on the calibration split at the middle quality; None without such pictures."""
        if not len(self.calibration):
            return None
        network = self.detector.networks[step].eval()
        inputs = self.inputs[-1]
        take = self.inputs[step].channels

        def run(rgb: Tensor, extents: Tensor) -> list[Detections]:
            return list(network(inputs.at(rgb, inputs.middle)[:, :take], extents))

        found = predict_squares(run, self.calibration, self.recipe.size)
        return measure(self.calibration, found).ap50


def _without_regions(recipe: str) -> str:
    """A recipe as JSON without its `regions`, which a resumed run may change: only high is trained with them."""
    without = DetectionRecipe.model_validate_json(recipe).model_copy(update={"regions": 0.0})
    return without.model_dump_json()


def _features(recipe: DetectionRecipe) -> tuple[FeatureConfig, ...]:
    n = recipe.network
    return (n.low, n.high) if isinstance(n, DetectorConfig) else (n.features,)


def _body_name(config: FeatureConfig) -> str | None:
    return config.body.name if isinstance(config, BodyFeatures) else None
