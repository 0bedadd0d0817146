"""Opening networks for the engine, and a classifier's cascade on one device, in torch or ONNX Runtime."""

import logging
import os
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from overtone.gpu_server.answer import Stage
from overtone.gpu_server.decoded_image import DecodedImage
from overtone.gpu_server.engine.inference import Network
from overtone.gpu_server.networks import onnx_runtime
from overtone.gpu_server.networks.cuda_graphs import Forward, GraphPool, Inputs
from overtone.gpu_server.networks.export_cache import ExportCache
from overtone.gpu_server.networks.stub import StubNetwork, seconds_of
from overtone.gpu_server.settings import Runtime, Settings
from overtone.gpu_server.system.threads import cores
from overtone.models import Card, Cascade, choose_device, load, task_of
from overtone.models.any_card import AnyCard, read_any_card
from overtone.models.checkpoint import digest
from overtone.models.fusion import example, fused

log = logging.getLogger(__name__)

# A CPU takes twice as long for twice as many images, so large batches only make the first image wait.
CPU_SIZES = (1, 2, 4, 8)
CUDA_SIZES = (1, 2, 4, 8, 16, 32, 64)
# More batches side by side than this would only make each of them, and so an image that comes alone, slower.
MOST_NETWORKS = 4
STAGES = (Stage.LOW, Stage.HIGH)
# One input of a batch: the arrays of its images.
Column = list[NDArray[np.generic]]


def open_networks(name_or_path: str | os.PathLike[str], settings: Settings) -> tuple[list[Network], AnyCard]:
    """Open the networks of an engine's workers: one for each device, or the same one several times on a CPU.

    On two cores, two batches with a thread each finish sooner than two with both threads, one after the other.

    Raises:
        ValueError: no such device, or (as `models.CheckpointError`) no such checkpoint.
    """
    s, devices, cache = settings, settings.devices, cache_of(settings)
    stub = seconds_of(devices[0]) is not None
    if len(devices) > 1 or stub or choose_device(devices[0]).type != "cpu":
        options = (s.batch_sizes, s.threads, s.cuda_graphs, s.runtime)
        opened = [open_network(name_or_path, device, *options, cache) for device in devices]
        return [network for network, _ in opened], opened[0][1]
    count = s.networks or min(cores(), MOST_NETWORKS)
    threads = s.threads or max(1, cores() // count)
    options = (s.batch_sizes, threads, s.cuda_graphs, s.runtime)
    network, card = open_network(name_or_path, devices[0], *options, cache)
    return [network] * count, card


def cache_of(settings: Settings) -> ExportCache:
    """The cache for exports of networks, by the settings."""
    return ExportCache.of_user() if settings.cache is None else ExportCache(settings.cache)


def open_network(
    name_or_path: str | os.PathLike[str],
    device: str = "auto",
    sizes: tuple[int, ...] = (),
    threads: int = 0,
    graphs: bool = True,
    runtime: Runtime = "auto",
    cache: ExportCache | None = None,
) -> tuple[Network, AnyCard]:
    """Load a checkpoint and prepare it. This is slow, so do not call it on the event loop.

    Args:
        name_or_path: of the checkpoint.
        device: "auto", "cpu", "cuda", "cuda:1", or a stub's, see `networks.stub`.
        sizes: batch sizes to warm, ascending from 1; empty means those of the device.
        threads: of torch; 0 leaves their number alone.
        graphs: as of `TorchNetwork`, like the following ones.
        runtime: see there.
        cache: see there.

    Raises:
        ValueError: no such device, or (as `models.CheckpointError`) no such checkpoint.
    """
    if (seconds := seconds_of(device)) is not None:
        log.warning("every answer is the first class, because the device is %s", device)
        card = read_any_card(name_or_path)
        return StubNetwork(card, sizes, seconds), card
    chosen = choose_device(device)
    if threads:
        torch.set_num_threads(threads)
    if task_of(name_or_path) == "detect":
        return _open_detector(name_or_path, chosen, sizes)
    cascade, card = load(name_or_path)
    return TorchNetwork(cascade, card, chosen, sizes, graphs, runtime, cache), card


def _open_detector(
    name_or_path: str | os.PathLike[str], device: torch.device, sizes: tuple[int, ...]
) -> tuple[Network, AnyCard]:
    # Not above, because detectors stand on torchvision, which a server of classifiers does without.
    from overtone.gpu_server.networks.detector import DetectorNetwork
    from overtone.models.detection.checkpoint import load_detector

    detector, card = load_detector(name_or_path)
    return DetectorNetwork(detector, card.profile, device, sizes), card


class TorchNetwork:
    """Both stages of a cascade on one device; on a CPU, `run` may be called in several threads at once.

    Args:
        cascade: in eval mode, on the CPU.
        card: for the sizes of the inputs, and whether the high answer is mixed.
        device: where it runs.
        sizes: batch sizes to warm, ascending from 1; by default those of the device.
        graphs: on CUDA, replay a captured graph for each stage and size.
        runtime: on a CPU, "auto" runs each stage in torch or in ONNX Runtime, whichever is faster, if it is there.
        cache: where exports for ONNX Runtime are kept, if anywhere.
    """

    def __init__(
        self,
        cascade: Cascade,
        card: Card,
        device: torch.device,
        sizes: tuple[int, ...] = (),
        graphs: bool = True,
        runtime: Runtime = "auto",
        cache: ExportCache | None = None,
    ) -> None:
        self.device = device
        self.cuda = device.type == "cuda"
        self.sizes = sizes or (CUDA_SIZES if self.cuda else CPU_SIZES)
        self._graphs = GraphPool() if graphs and self.cuda else None
        self._cache = cache or ExportCache()
        self._compares = runtime == "auto" and device.type == "cpu" and onnx_runtime.installed()
        # A digest of the weights before they are fused: fusing rounds differently on different processors.
        self._of = f"{digest(cascade.state_dict())} {card.mix}" if self._compares else ""
        self._cascade = fused(cascade, example(card.profile)).to(device)
        self._card = card
        # Each stage for batches of any size, and as prepared for the sizes that are warm.
        self._stages = {stage: self._eager(stage) for stage in STAGES}
        self._forward: dict[tuple[Stage, int], Forward] = {}

    def batch_size(self, waiting: int) -> int:
        """On CUDA all that fit, because padding is nearly free there; on a CPU a size that needs no padding."""
        if self.cuda:
            return min(waiting, self.sizes[-1])
        return max(size for size in self.sizes if size <= waiting)

    def example(self) -> DecodedImage:
        """A blank image."""
        return DecodedImage.blank(self._card.profile)

    @torch.inference_mode()
    def warm(self) -> None:
        """Run both stages once in every size, largest first, so that smaller sizes reuse the memory.

        A network that is warm stays as it is.
        """
        if self._forward:
            return
        if self.cuda and self.device.index is not None:
            torch.cuda.set_device(self.device)  # for this thread, in which batches run too
        if self._compares:
            for stage, forward in self._stages.items():
                sample = self._sample(stage, min(onnx_runtime.SIZE, self.sizes[-1]))
                self._stages[stage] = onnx_runtime.faster(
                    self._cascade, forward, sample, stage, self._of, self._cache
                )
        for size in reversed(self.sizes):
            for stage in STAGES:
                inputs = tuple(t.to(self.device) for t in self._empty(stage, size))
                self._forward[stage, size] = self._prepare(stage, inputs)

    @torch.inference_mode()
    def run(self, stage: Stage, images: Sequence[DecodedImage]) -> NDArray[np.float32]:
        """Logits float32[N, K]; the batch is padded to a warmed size."""
        mixes = stage is Stage.HIGH and self._card.mix is not None
        columns = [*self._coefficients(stage, images), *([self._low_logits(images)] if mixes else [])]
        size = padded_size(len(images), self.sizes)
        inputs = tuple(self._upload(_stack(arrays, size)) for arrays in columns)
        logits = self._forward.get((stage, size), self._stages[stage])(inputs)
        # The copy to the host waits for the device, so the batch is done when this returns.
        rows: NDArray[np.float32] = logits[: len(images)].cpu().numpy()
        return rows

    def _coefficients(self, stage: Stage, images: Sequence[DecodedImage]) -> list[Column]:
        """Values and steps of the low channels, for the high stage also those of the high ones."""
        count = self._channels(stage)
        return [[i.decoded.values[:count] for i in images], [i.decoded.steps[:count] for i in images]]

    def _low_logits(self, images: Sequence[DecodedImage]) -> Column:
        """The low network's rows for these images; it runs again for those that have none."""
        unknown = [image for image in images if image.low_row is None]
        # Their rows are on the host before the high network runs, whose graph may use the same memory.
        rows = iter(self.run(Stage.LOW, unknown) if unknown else ())
        return [next(rows) if image.low_row is None else image.low_row for image in images]

    def _channels(self, stage: Stage) -> int:
        profile = self._card.profile
        return len(profile.low) + (len(profile.high) if stage is Stage.HIGH else 0)

    def _empty(self, stage: Stage, size: int) -> Inputs:
        """The stage's inputs for a batch of blank images."""
        profile, count = self._card.profile, self._channels(stage)
        values = torch.zeros(size, count, profile.blocks, profile.blocks, dtype=torch.int16)
        low_logits = torch.zeros(size, len(profile.labels))
        mixes = stage is Stage.HIGH and self._card.mix is not None
        return (values, torch.ones(size, count), *([low_logits] if mixes else []))

    def _sample(self, stage: Stage, size: int) -> Inputs:
        """The stage's inputs for a batch with values like those of photographs."""
        values, _, *low_logits = self._empty(stage, size)
        generator = torch.Generator().manual_seed(0)
        values = torch.randint(-3, 4, values.shape, generator=generator, dtype=values.dtype)
        return (values, torch.full(values.shape[:2], 40.0), *low_logits)

    def _upload(self, array: NDArray[np.generic]) -> Tensor:
        tensor = torch.from_numpy(array)
        return tensor.pin_memory().to(self.device, non_blocking=True) if self.cuda else tensor

    def _prepare(self, stage: Stage, inputs: Inputs) -> Forward:
        forward = self._stages[stage]
        forward(inputs)
        if self._graphs is None:
            return forward
        try:
            return self._graphs.capture(forward, inputs)
        except RuntimeError as error:
            log.warning("no CUDA graph for %s x %d, running it eagerly: %s", stage, len(inputs[0]), error)
            return forward

    def _eager(self, stage: Stage) -> Forward:
        forward = self._low if stage is Stage.LOW else self._high

        def run(inputs: Inputs) -> Tensor:
            with torch.autocast("cuda", torch.bfloat16, enabled=self.cuda, cache_enabled=False):
                return forward(*inputs)

        return run

    def _low(self, values: Tensor, steps: Tensor) -> Tensor:
        logits, _ = self._cascade.low(_dequantise(values, steps))
        return logits.float()

    def _high(self, values: Tensor, steps: Tensor, low_logits: Tensor | None = None) -> Tensor:
        split = self._channels(Stage.LOW)
        state = self._cascade.state(_dequantise(values[:, :split], steps[:, :split]))
        logits = self._cascade.high(state, _dequantise(values[:, split:], steps[:, split:])).float()
        return logits if low_logits is None else self._cascade.answer(low_logits, logits)


def padded_size(count: int, sizes: Sequence[int]) -> int:
    """The smallest of the warmed sizes that holds so many images, or their number if none does."""
    return next((size for size in sizes if size >= count), count)


def _dequantise(values: Tensor, steps: Tensor) -> Tensor:
    coefficients = values.float() * steps[:, :, None, None]
    return coefficients.contiguous(memory_format=torch.channels_last)


def _stack(arrays: Column, size: int) -> NDArray[np.generic]:
    batch = np.zeros((size, *arrays[0].shape), arrays[0].dtype)
    np.stack(arrays, out=batch[: len(arrays)])
    return batch
