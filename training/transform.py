"""DCT and quantisation on a batch, on whatever device the batch is."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from overtone.frequency.channels import BLOCK, Channels
from overtone.frequency.dct import analysis


class BlockDCT(nn.Module):
    """uint8[N, 3, H, W] RGB to coefficients float32[N, C, H/8, W/8]: one convolution of stride 8.

    The same matrix as `frequency.coefficients`, so that both give the same numbers.
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
        """Coefficients of a batch of pictures."""
        return functional.conv2d(rgb.float(), self.weight, self.offset, stride=BLOCK)


@dataclass(frozen=True)
class Quantiser:
    """How each picture of a batch is rounded.

    `steps` float32[N, 1 or C, 1, 1]; `thresholds` float32[N, 1, 1, 1] is the part of a step from which a
    value is rounded away from zero: a half is plain rounding, more is a dead zone.
    """

    steps: Tensor
    thresholds: Tensor

    def of(self, share: slice) -> "Quantiser":
        """For some of the pictures."""
        return Quantiser(self.steps[share], self.thresholds[share])

    def __call__(self, coefficients: Tensor) -> Tensor:
        """What a decoder gets back of float32[N, C, h, w]."""
        steps, thresholds = self.steps.to(coefficients.device), self.thresholds.to(coefficients.device)
        scaled = coefficients / steps
        return torch.copysign(torch.floor(scaled.abs() + (1 - thresholds)), scaled) * steps


def draw_steps(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """Quantiser steps float32[count, 1, 1, 1], log-uniform over [low, high]: one quality per picture."""
    spread = torch.rand(count, 1, 1, 1, generator=generator)
    return low * (high / low) ** spread


def jittered(steps: Tensor, channels: int, jitter: float, generator: torch.Generator) -> Tensor:
    """Steps float32[N, channels, 1, 1] that differ from channel to channel: log-normal around `steps`.

    A network that has seen such steps does well with whatever steps per channel are chosen for it later.
    `jitter` is the standard deviation of the logarithm.
    """
    return steps * torch.exp(jitter * torch.randn(len(steps), channels, 1, 1, generator=generator))


def draw_thresholds(count: int, most: float, generator: torch.Generator) -> Tensor:
    """Rounding thresholds float32[count, 1, 1, 1], uniform from a half to `most`."""
    return 0.5 + (most - 0.5) * torch.rand(count, 1, 1, 1, generator=generator)


def requantise(coefficients: Tensor, steps: Tensor) -> Tensor:
    """What a decoder gets back: coefficients rounded to multiples of the step."""
    return torch.round(coefficients / steps) * steps
