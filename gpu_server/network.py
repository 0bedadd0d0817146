"""The torch side: a cascade prepared for one device, which the engine's worker thread runs on batches."""

import logging
import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from overtone.gpu_server.answer import Stage
from overtone.gpu_server.cuda_graphs import Forward, GraphPool, Inputs
from overtone.gpu_server.inference import Bands
from overtone.models import Card, Cascade, Temperature, choose_device, load
from overtone.models.fusion import example, fused

log = logging.getLogger(__name__)

# A CPU takes twice as long for twice as many images, so large batches only make the first image wait.
CPU_SIZES = (1, 2, 4, 8)
CUDA_SIZES = (1, 2, 4, 8, 16, 32, 64)
# The smallest probability that float32 holds to full precision.
SMALLEST = float(np.finfo(np.float32).tiny)


def open_network(
    name_or_path: str | os.PathLike[str],
    device: str = "auto",
    sizes: tuple[int, ...] = (),
    threads: int = 0,
    graphs: bool = True,
) -> tuple["TorchNetwork", Card]:
    """Load a checkpoint and prepare it. This is slow, so do not call it on the event loop.

    Raises:
        ValueError: no such device, or (as `models.CheckpointError`) no such checkpoint.
    """
    chosen = choose_device(device)
    if threads:
        torch.set_num_threads(threads)
    cascade, card = load(name_or_path)
    return TorchNetwork(cascade, card, chosen, sizes, graphs), card


class TorchNetwork:
    """Both stages of a cascade on one device.

    Args:
        cascade: in eval mode, on the CPU.
        card: for the temperature and the sizes of the inputs.
        device: where it runs.
        sizes: batch sizes to warm, ascending from 1; by default those of the device.
        graphs: on CUDA, replay a captured graph for each stage and size.
    """

    def __init__(
        self,
        cascade: Cascade,
        card: Card,
        device: torch.device,
        sizes: tuple[int, ...] = (),
        graphs: bool = True,
    ) -> None:
        self.device = device
        self.cuda = device.type == "cuda"
        self.sizes = sizes or (CUDA_SIZES if self.cuda else CPU_SIZES)
        self._graphs = GraphPool() if graphs and self.cuda else None
        self._cascade = fused(cascade, example(card.profile)).to(device)
        self._card = card
        self._forward: dict[tuple[Stage, int], Forward] = {}

    def batch_size(self, waiting: int) -> int:
        """On CUDA all that fit, because padding is nearly free there; on a CPU a size that needs no padding."""
        if self.cuda:
            return min(waiting, self.sizes[-1])
        return max(size for size in self.sizes if size <= waiting)

    def example(self) -> Bands:
        """An image without content."""
        profile = self._card.profile
        shape = (profile.blocks, profile.blocks)
        return Bands(
            np.zeros((len(profile.low), *shape), np.int16),
            profile.low_steps(profile.quality),
            np.zeros((len(profile.high), *shape), np.int16),
            profile.high_steps(profile.quality),
        )

    @torch.inference_mode()
    def warm(self) -> None:
        """Run both stages once in every size, largest first, so that smaller sizes reuse the memory."""
        for size in reversed(self.sizes):
            for stage in (Stage.LOW, Stage.HIGH):
                inputs = tuple(t.to(self.device) for t in _empty(self._card, stage, size))
                self._forward[stage, size] = self._prepare(stage, inputs)

    @torch.inference_mode()
    def run(self, stage: Stage, images: Sequence[Bands]) -> NDArray[np.float32]:
        """Class probabilities float32[N, K]; the batch is padded to a warmed size."""
        if stage is Stage.HIGH and self._card.mix is not None:
            images = self._with_low_probabilities(images)
        size = next((s for s in self.sizes if s >= len(images)), len(images))
        columns = _columns(stage, images, self._card.mix is not None)
        inputs = tuple(self._upload(_stack(arrays, size)) for arrays in columns)
        probabilities = self._forward.get((stage, size), self._eager(stage))(inputs)
        # The copy to the host waits for the device, so the batch is done when this returns.
        rows: NDArray[np.float32] = probabilities[: len(images)].cpu().numpy()
        return rows

    def _with_low_probabilities(self, images: Sequence[Bands]) -> Sequence[Bands]:
        """The same images with the result of the low network, which runs again for those that lack it."""
        unknown = [image for image in images if image.low_probabilities is None]
        if not unknown:
            return images
        rows = iter(self.run(Stage.LOW, unknown))
        return [
            i if i.low_probabilities is not None else replace(i, low_probabilities=next(rows)) for i in images
        ]

    def _upload(self, array: NDArray[np.generic]) -> Tensor:
        tensor = torch.from_numpy(array)
        return tensor.pin_memory().to(self.device, non_blocking=True) if self.cuda else tensor

    def _prepare(self, stage: Stage, inputs: Inputs) -> Forward:
        eager = self._eager(stage)
        eager(inputs)
        if self._graphs is None:
            return eager
        try:
            return self._graphs.capture(eager, inputs)
        except RuntimeError as error:
            log.warning("no CUDA graph for %s x %d, running it eagerly: %s", stage, len(inputs[0]), error)
            return eager

    def _eager(self, stage: Stage) -> Forward:
        forward = self._low if stage is Stage.LOW else self._high

        def run(inputs: Inputs) -> Tensor:
            with torch.autocast("cuda", torch.bfloat16, enabled=self.cuda, cache_enabled=False):
                return forward(*inputs)

        return run

    def _low(self, values: Tensor, steps: Tensor) -> Tensor:
        logits, _ = self._cascade.low(_dequantise(values, steps))
        return torch.softmax(logits.float() / self._temperature.low, dim=1)

    def _high(
        self, low: Tensor, low_steps: Tensor, high: Tensor, high_steps: Tensor, known: Tensor | None = None
    ) -> Tensor:
        state = self._cascade.state(_dequantise(low, low_steps))
        logits = self._cascade.high(state, _dequantise(high, high_steps))
        if known is not None:
            # The logits of low up to a constant per image, which does not change the probabilities of the mix.
            low_logits = self._temperature.low * known.clamp_min(SMALLEST).log()
            logits = self._cascade.answer(low_logits, logits.float())
        return torch.softmax(logits.float() / self._temperature.high, dim=1)

    @property
    def _temperature(self) -> Temperature:
        return self._card.temperature


def _dequantise(values: Tensor, steps: Tensor) -> Tensor:
    coefficients = values.float() * steps[:, :, None, None]
    return coefficients.contiguous(memory_format=torch.channels_last)


def _columns(stage: Stage, images: Sequence[Bands], mixes: bool) -> list[list[NDArray[np.generic]]]:
    """The inputs of a stage: values and steps of the low band, and for the high stage also of the high band.

    If the high answer is mixed, the low probabilities come last.
    """
    low: list[list[NDArray[np.generic]]] = [[b.low for b in images], [b.low_steps for b in images]]
    if stage is Stage.LOW:
        return low
    pairs = [(b.high, b.high_steps) for b in images if b.high is not None and b.high_steps is not None]
    high: list[list[NDArray[np.generic]]] = [[values for values, _ in pairs], [steps for _, steps in pairs]]
    both = low + high
    known: list[NDArray[np.generic]] = [
        b.low_probabilities for b in images if b.low_probabilities is not None
    ]
    return [*both, known] if mixes else both


def _stack(arrays: list[NDArray[np.generic]], size: int) -> NDArray[np.generic]:
    batch = np.zeros((size, *arrays[0].shape), arrays[0].dtype)
    np.stack(arrays, out=batch[: len(arrays)])
    return batch


def _empty(card: Card, stage: Stage, size: int) -> Inputs:
    profile = card.profile
    bands = [profile.low] if stage is Stage.LOW else [profile.low, profile.high]
    side = profile.blocks
    pairs = [
        (torch.zeros(size, len(band), side, side, dtype=torch.int16), torch.ones(size, len(band)))
        for band in bands
    ]
    inputs = tuple(tensor for pair in pairs for tensor in pair)
    if stage is Stage.HIGH and card.mix is not None:
        return *inputs, torch.ones(size, len(profile.labels))
    return inputs
