"""The baseline of ResNet cascades: one half-width ResNet-50 that reads RGB images in patches of 4x4 pixels.

It is the cascade's high network with a different first layer. The 24 channels at N x N pixels are the 4x4 DCT (4x4
frequencies of luma, 2x2 of chroma) of the image at N/2 x N/2 pixels, so one 4x4 convolution of stride 4 can
compute colour transform, DCT, normalisation and both stems. `from_cascade` builds that convolution, so a
baseline starts from everything that the cascade has learned.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from overtone.frequency.channels import BLOCK, HIGH, LOW
from overtone.frequency.dct import LEVEL_SHIFT, RGB_TO_YCC, dct_matrix
from overtone.models.cascade import Cascade
from overtone.models.resnet import LAYERS, STRIDES, Body, Head, initialise
from overtone.models.resnet_cascade import Normalise, ResNetCascade, Stem

PATCH = 4
# Ratio of a coefficient of 8x8 pixels to the same frequency of the 4x4 pixels they shrink to.
SCALE = BLOCK / PATCH
# Normalisation of pixels from 0 to 255: photographs then have about zero mean and unit variance.
MEAN, STD = 128.0, 64.0


class PatchResNet(nn.Module):
    """Pixels float[N, 3, H, W] from 0 to 255 -> logits [N, classes]; H and W are multiples of 4."""

    def __init__(
        self,
        classes: int,
        width: float = 0.5,
        stem: int = 64,
        strides: Sequence[int] = STRIDES,
        layers: Sequence[int] = LAYERS,
    ) -> None:
        super().__init__()
        self.norm = Normalise(3)
        self.stem = nn.Sequential(nn.Conv2d(3, stem, PATCH, PATCH), nn.BatchNorm2d(stem), nn.ReLU())
        self.body = Body(stem, width, strides, layers)
        self.head = Head(self.body.features, classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.head(self.body(self.stem(self.norm(x))))
        return logits


@torch.no_grad()
def from_cascade(cascade: Cascade) -> PatchResNet:
    """The patch network whose logits for an image are the high network's for the image at twice its side.

    They are equal if the image is the scaled inverse DCT of the 24 channels, before any rounding.

    Raises:
        ValueError: the high body does not read both stems (structures 1 and 2).
    """
    if not isinstance(cascade, ResNetCascade):
        raise ValueError("a baseline is made of two ResNets; this cascade has other bodies")
    a = cascade.architecture
    if a.structure != 3:
        raise ValueError(f"a baseline is made of structure 3; this cascade has structure {a.structure}")
    baseline = PatchResNet(a.classes, a.high_width, 2 * a.stem, a.strides, a.layers)
    baseline.norm.mean.fill_(MEAN)
    baseline.norm.std.fill_(STD)
    # The high body reads concat(high stem, low stem).
    stems = (cascade.high_stem, cascade.high_norm, HIGH), (cascade.low_stem, cascade.low_norm, LOW)
    weights, biases = zip(*(_patches(*stem) for stem in stems), strict=True)
    conv, norm = baseline.stem[0], baseline.stem[1]
    assert isinstance(conv, nn.Conv2d)
    assert conv.bias is not None
    conv.weight.copy_(torch.cat(weights))
    conv.bias.copy_(torch.cat(biases))
    for key, value in norm.state_dict().items():
        both = [stem[1].state_dict()[key] for stem, _, _ in stems]
        value.copy_(torch.cat(both) if value.ndim else both[0])
    baseline.body.load_state_dict(cascade.high_body.state_dict())
    baseline.head.load_state_dict(cascade.high_head.state_dict())
    return baseline.train(cascade.training)


def _patches(stem: Stem, norm: Normalise, channels: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Weight [outputs, 3, 4, 4] and bias [outputs], float64: 4x4 DCT, normalisation and stem in one."""
    conv = stem[0]
    assert isinstance(conv, nn.Conv2d)
    assert conv.bias is not None
    matrix = conv.weight.double().flatten(1) / norm.std.double().flatten()
    basis = SCALE * torch.from_numpy(_basis(channels))
    weight = torch.einsum("oc,ckyx->okyx", matrix, basis)
    # Pixels arrive as (p - MEAN) / STD. Only the difference of MEAN and the level shift of luma remains.
    dc = torch.tensor([c == 0 for c in channels]) * SCALE * PATCH * (MEAN - LEVEL_SHIFT)
    bias = conv.bias.double() + matrix @ (dc - norm.mean.double().flatten())
    return weight * STD, bias


def _basis(channels: tuple[int, ...]) -> np.ndarray[tuple[int, int, int, int], np.dtype[np.float64]]:
    """float64[C, 3, 4, 4]: what each pixel of a 4x4 patch contributes to each channel."""
    d = dct_matrix(PATCH)
    index = np.array(channels)
    component, v, u = index // BLOCK**2, index % BLOCK**2 // BLOCK, index % BLOCK
    found: np.ndarray[tuple[int, int, int, int], np.dtype[np.float64]] = np.einsum(
        "ck,cy,cx->ckyx", RGB_TO_YCC[component], d[v], d[u]
    )
    return found
