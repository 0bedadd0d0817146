"""DCT and quantisation on a batch, on whatever device the batch is."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from frequency.channels import BLOCK, Channels
from frequency.dct import analysis


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


def draw_steps(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """Quantiser steps float32[count, 1, 1, 1], log-uniform over [low, high]: one quality per picture."""
    spread = torch.rand(count, 1, 1, 1, generator=generator)
    return low * (high / low) ** spread


def requantise(coefficients: Tensor, steps: Tensor) -> Tensor:
    """What a decoder gets back: coefficients rounded to multiples of the step."""
    return torch.round(coefficients / steps) * steps
