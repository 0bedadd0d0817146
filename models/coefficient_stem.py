"""The coefficient stem: any network that reads RGB images, reading DCT coefficients instead.

A block of 8 x 8 pixels shrinks to n x n pixels by an n-point inverse DCT of its lowest n x n frequencies, as
in libjpeg's scaled decoding. That map is linear, and so is a network's first convolution; where the stride of
the convolution divides n, the two become one convolution over blocks.
"""

import copy
from collections.abc import Sequence
from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from overtone.frequency.channels import BLOCK, COUNT
from overtone.frequency.dct import LEVEL_SHIFT, RGB_TO_YCC, dct_matrix


def synthesis(channels: Sequence[int], n: int) -> NDArray[np.float64]:
    """float64[C, 3, n, n]: what one unit of each coefficient adds to R, G and B of a block of n x n pixels."""
    if not 1 <= n <= BLOCK:
        raise ValueError(f"a block has 1 to {BLOCK} pixels a side, not {n}")
    d = np.zeros((BLOCK, n))
    d[:n] = dct_matrix(n) * (n / BLOCK) ** 0.5
    blocks = np.einsum("rc,vy,ux->cvuryx", np.linalg.inv(RGB_TO_YCC), d, d)
    basis: NDArray[np.float64] = blocks.reshape(COUNT, 3, n, n)[list(channels)]
    return basis


class Decode(nn.Module):
    """Coefficients float[N, C, h, w] -> normalised RGB images float[N, 3, h * n, w * n], without clipping.

    Args:
        channels: indices of the C channels; all three DC channels (0, 64, 128) among them.
        n: pixels a block, 1 to 8 a side.
        mean: the means of R, G and B, from 0 to 255, that the network expects to be subtracted.
        std: the standard deviations that it expects pixels to be divided by.
    """

    weight: Tensor
    offset: Tensor

    def __init__(self, channels: Sequence[int], n: int, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.n = n
        weight = synthesis(channels, n) / np.reshape(std, (3, 1, 1))
        # A constant image is one of DC coefficients alone. With it, zero coefficients around the map are
        # exactly the zeros that a network pads its normalised input with.
        colour = BLOCK * RGB_TO_YCC @ (LEVEL_SHIFT - np.asarray(mean, float))
        offset = [colour[c // BLOCK**2] if c % BLOCK**2 == 0 else 0.0 for c in channels]
        self.register_buffer("weight", torch.tensor(weight, dtype=torch.float32), persistent=False)
        self.register_buffer("offset", torch.tensor(offset).float()[:, None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised images."""
        return functional.conv_transpose2d(x + self.offset, self.weight, stride=self.n)


class FoldedConv(nn.Module):
    """`Decode` and the convolution after it as one convolution over blocks.

    The stride of the convolution divides a block's side of n pixels, so each block yields m x m outputs. They are
    computed by a convolution over blocks with m * m times as many channels, and a pixel shuffle.
    """

    offset: Tensor

    def __init__(self, decode: Decode, conv: nn.Conv2d) -> None:
        super().__init__()
        n, (stride, _) = decode.n, conv.stride
        self.m = n // stride
        before, after = padding(conv)
        # How many blocks away the pixels of one output may lie.
        reach = max(ceil(before / n), ceil(max(after, 0) / n), 0)
        weight = _responses(decode, conv, reach, (before, after))
        rows = [i for i in range(2 * reach + 1) if weight[:, :, i].any() or weight[:, :, :, i].any()]
        first, last = min(rows), max(rows)
        self.pad = (reach - first, last - reach) * 2
        self.register_buffer("offset", decode.offset.clone(), persistent=False)
        self.conv = nn.Conv2d(weight.shape[1], weight.shape[0], last - first + 1, bias=conv.bias is not None)
        self.conv.weight = nn.Parameter(weight[:, :, first : last + 1, first : last + 1].contiguous())
        if conv.bias is not None:
            self.conv.bias = nn.Parameter(conv.bias.detach().repeat_interleave(self.m**2))

    def forward(self, x: Tensor) -> Tensor:
        """The output of the convolution for the decoded image."""
        y: Tensor = self.conv(functional.pad(x + self.offset, self.pad))
        return functional.pixel_shuffle(y, self.m) if self.m > 1 else y


def padding(conv: nn.Conv2d) -> tuple[int, int]:
    """The zeros that a convolution reads before the first and after the last pixel, if its stride divides the side.

    After the last pixel they may be fewer than its `padding`, as the last output may not reach all of them.
    """
    (kernel, _), (stride, _) = conv.kernel_size, conv.stride
    # timm's Conv2dSame pads as TensorFlow does: what is missing, the odd one after.
    same = type(conv).__name__ == "Conv2dSame" or conv.padding == "same"
    before = max(kernel - stride, 0) // 2 if same else int(conv.padding[0])
    return before, kernel - stride - before


def can_fold(decode: Decode, conv: nn.Module) -> bool:
    """Whether `FoldedConv` computes the same as decoder and convolution one after the other."""
    return (
        isinstance(conv, nn.Conv2d)
        and conv.stride[0] == conv.stride[1]
        and conv.kernel_size[0] == conv.kernel_size[1]
        and (conv.groups, conv.dilation) == (1, (1, 1))
        and decode.n % conv.stride[0] == 0
        and _is_same(conv)
    )


def _is_same(conv: nn.Conv2d) -> bool:
    """Whether a side of k strides gives exactly k outputs."""
    before, _ = padding(conv)
    missing = conv.kernel_size[0] - 2 * before
    return (
        isinstance(conv.padding, str) or type(conv).__name__ == "Conv2dSame" or 0 < missing <= conv.stride[0]
    )


@torch.no_grad()
def _responses(decode: Decode, conv: nn.Conv2d, reach: int, pads: tuple[int, int]) -> Tensor:
    """The kernel over blocks [O * m * m, C, 2 reach + 1, 2 reach + 1], found as the responses to unit coefficients."""
    n, m, span = decode.n, decode.n // conv.stride[0], 2 * reach + 1
    channels = len(decode.weight)
    canvas = torch.zeros(channels, 3, span * n, span * n, dtype=torch.float64)
    middle = slice(reach * n, (reach + 1) * n)
    canvas[:, :, middle, middle] = decode.weight.double()
    padded = functional.pad(canvas, pads * 2)
    y = functional.conv2d(padded, conv.weight.double(), stride=conv.stride)
    # Seen from an output in the block `reach + d`, the middle block lies at the offset -d.
    blocks = y.unflatten(3, (span, m)).unflatten(2, (span, m)).flip(2, 4)
    kernel: Tensor = blocks.permute(1, 3, 5, 0, 2, 4).flatten(0, 2).float()
    return kernel


class CoefficientNetwork(nn.Module):
    """A network on RGB images that reads coefficients: `network(decode(x))`.

    Args:
        decode: from coefficients to the images that the network reads.
        network: whose output is returned.
        first_conv: name of the network's first convolution, into which `folded` folds the decoder.
    """

    def __init__(self, decode: Decode, network: nn.Module, first_conv: str) -> None:
        super().__init__()
        self.decode, self.network, self.first_conv = decode, network, first_conv

    def forward(self, x: Tensor) -> Tensor:
        """The output of the network for the decoded images."""
        y: Tensor = self.network(self.decode(x))
        return y

    def folded(self) -> nn.Module:
        """A copy that computes the same with decoding folded into the first convolution, where that is possible.

        For inference: the copy's first convolution is over blocks.
        """
        conv = self.network.get_submodule(self.first_conv)
        if not can_fold(self.decode, conv):
            return self
        network = copy.deepcopy(self.network)
        parent, _, name = self.first_conv.rpartition(".")
        setattr(network.get_submodule(parent), name, FoldedConv(self.decode, conv))  # type: ignore[arg-type]
        return network.train(self.training)
