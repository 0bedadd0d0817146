"""Block DCT and quantisation of a batch in torch, on the device of the batch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from overtone.frequency.channels import BLOCK, HIGH, LOW, Channels
from overtone.frequency.dct import analysis


class BlockDCT(nn.Module):
    """uint8[N, 3, H, W] RGB to coefficients float32[N, C, H/8, W/8]: one convolution of stride 8.

    It uses the matrix of `frequency.coefficients`, so both give the same numbers.
    """

    weight: Tensor
    offset: Tensor

    def __init__(self, channels: Channels) -> None:
        super().__init__()
        matrix, offset = analysis(channels)
        kernels = torch.from_numpy(matrix).reshape(-1, BLOCK, BLOCK, 3).permute(0, 3, 1, 2).contiguous()
        self.register_buffer("weight", kernels, persistent=False)
        self.register_buffer("offset", torch.from_numpy(offset), persistent=False)

    @torch.no_grad()
    def forward(self, rgb: Tensor) -> Tensor:
        """Coefficients of a batch of images."""
        return functional.conv2d(rgb.float(), self.weight, self.offset, stride=BLOCK)


@dataclass(frozen=True)
class Quantiser:
    """The quantisation of a batch, with settings for each image.

    `steps` is float32[N, 1 or C, 1, 1]. `thresholds` float32[N, 1, 1, 1] is the fraction of a step from which
    a value is rounded away from zero: 0.5 is plain rounding, more is a dead zone. With `factors`, float32[N, C, 1, 1]
    of odd integers, values are then known as the nearest multiples of so many steps, as after a layer of a ladder.
    """

    steps: Tensor
    thresholds: Tensor
    factors: Tensor | None = None

    def __call__(self, coefficients: Tensor) -> Tensor:
        """The coefficients float32[N, C, h, w] that a decoder restores."""
        steps, thresholds = self.steps.to(coefficients.device), self.thresholds.to(coefficients.device)
        scaled = coefficients / steps
        values = torch.copysign(torch.floor(scaled.abs() + (1 - thresholds)), scaled)
        if self.factors is not None:
            factors = self.factors.to(coefficients.device)
            values = torch.floor((values + (factors - 1) / 2) / factors) * factors
        return values * steps

    @property
    def finest(self) -> "Quantiser":
        """The same rounding after all layers."""
        return replace(self, factors=None)


def draw_steps(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """Quantiser steps float32[count, 1, 1, 1], log-uniform over [low, high]: a quality per image."""
    spread = torch.rand(count, 1, 1, 1, generator=generator)
    return low * (high / low) ** spread


def jittered(steps: Tensor, channels: int, jitter: float, generator: torch.Generator) -> Tensor:
    """Steps float32[N, channels, 1, 1], log-normal around `steps` in each channel.

    A network trained with them copes with the steps per channel that are chosen for it later. `jitter` is the
    standard deviation of the logarithm.
    """
    return steps * torch.exp(jitter * torch.randn(len(steps), channels, 1, 1, generator=generator))


def draw_thresholds(count: int, most: float, generator: torch.Generator) -> Tensor:
    """Rounding thresholds float32[count, 1, 1, 1], uniform from 0.5 to `most`."""
    return 0.5 + (most - 0.5) * torch.rand(count, 1, 1, 1, generator=generator)


def channel_factors(factors: Tensor) -> Tensor:
    """Factors of low and high float32[N, 2] for all their channels, float32[N, C, 1, 1]."""
    return factors.repeat_interleave(torch.tensor([len(LOW), len(HIGH)]), dim=1)[:, :, None, None]


def draw_factors(count: int, known: Sequence[tuple[int, int]], generator: torch.Generator) -> Tensor:
    """One of these pairs of factors of low and high for each image, float32[count, C, 1, 1]."""
    chosen = torch.randint(len(known), (count,), generator=generator)
    return channel_factors(torch.tensor(known).float()[chosen])


def requantise(coefficients: Tensor, steps: Tensor) -> Tensor:
    """Coefficients rounded to multiples of the step, as a decoder restores them."""
    return torch.round(coefficients / steps) * steps
