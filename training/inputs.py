"""Inputs of networks: decoded images become quantised coefficients, or pixels, on the device of the training."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from overtone.frequency.channels import Channels
from overtone.training.quality import FINEST, Quality
from overtone.training.systems import RGB
from overtone.training.transform import (
    BlockDCT,
    Quantiser,
    draw_factors,
    draw_steps,
    draw_thresholds,
    jittered,
    requantise,
)


class Inputs:
    """Turns uint8[N, 3, H, W] into coefficients float32[N, C, H/8, W/8], or into pixels for an RGB system."""

    def __init__(self, channels: Channels | None, quality: Quality, device: torch.device) -> None:
        self.quality, self.device = quality, device
        self.channels = RGB if channels is None else len(channels)
        self.dct = None if channels is None else BlockDCT(channels).to(device)

    def exact(self, rgb: Tensor) -> Tensor:
        """Inputs before quantisation."""
        on_device = rgb.to(self.device, non_blocking=True)
        return on_device.float() if self.dct is None else self.dct(on_device)

    def at(self, rgb: Tensor, steps: Tensor | float) -> Tensor:
        """Inputs quantised with these steps (float32[N or 1, 1 or C, 1, 1], or one for all); pixels are not."""
        x = self.exact(rgb)
        if self.dct is not None:
            x = requantise(x, torch.as_tensor(steps).to(self.device))
        return x.contiguous(memory_format=torch.channels_last)

    def quantised(self, rgb: Tensor, quantiser: Quantiser | None) -> Tensor:
        """Inputs quantised as drawn; without a quantiser they are not."""
        x = self.exact(rgb)
        if quantiser is not None:
            x = quantiser(x)
        return x.contiguous(memory_format=torch.channels_last)

    def draw(
        self, count: int, generator: torch.Generator, known: Sequence[tuple[int, int]] = FINEST
    ) -> Quantiser | None:
        """A quantiser for this many training images, over the whole range of qualities; None for pixels.

        `known` has the factors of low and high after each layer that the network answers; each image is seen after
        one of them, so coarse layers count as much as fine ones.
        """
        if self.dct is None:
            return None
        quantiser = self._draw(count, generator)
        if tuple(known) == FINEST:
            return quantiser
        return replace(quantiser, factors=draw_factors(count, known, generator))

    def _draw(self, count: int, generator: torch.Generator) -> Quantiser:
        q = self.quality
        if q.table:
            return q.table.draw(count, generator)
        steps = draw_steps(count, min(q.steps), max(q.steps), generator)
        if q.jitter:
            steps = jittered(steps, self.channels, q.jitter, generator)
        most = q.dead_zone
        thresholds = draw_thresholds(count, most, generator) if most > 0.5 else torch.tensor([[[[0.5]]]])
        return Quantiser(steps, thresholds.expand(count, 1, 1, 1))

    @property
    def middle(self) -> Tensor | float:
        """The step of the middle quality, or its steps [1, C, 1, 1]."""
        row = self.quality.rows[len(self.quality.rows) // 2]
        return torch.tensor(row).float().view(1, -1, 1, 1) if self.quality.table else float(row[0])

    @torch.no_grad()
    def statistics(self, batches: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation float64[C] of each channel over all images, before quantisation."""
        total, square = torch.zeros(2, self.channels, dtype=torch.float64)
        count = 0
        for rgb, _ in batches:
            x = self.exact(rgb).double().cpu()
            total += x.sum(dim=(0, 2, 3))
            square += (x * x).sum(dim=(0, 2, 3))
            count += x[:, 0].numel()
        mean = total / count
        return mean, (square / count - mean**2).clamp_min(1e-6).sqrt()
