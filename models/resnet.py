"""The four residual stages of ResNet-50 at any width, on any number of input channels.

He et al., "Deep Residual Learning" (CVPR 2016), with the stride on the 3x3 convolution as in torchvision.
As in Xu et al. (CVPR 2020), nothing stands before the first residual block, which reads the maps directly.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

LAYERS = (3, 4, 6, 3)
STRIDES = (1, 2, 2, 2)
EXPANSION = 4


def conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution without bias, padded to keep its size at stride 1, and batch normalisation."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions around a shortcut: [N, inputs, h, w] -> [N, 4 * planes, h/s, w/s]."""

    def __init__(self, inputs: int, planes: int, stride: int) -> None:
        super().__init__()
        outputs = EXPANSION * planes
        self.conv1 = conv_bn(inputs, planes, 1)
        self.conv2 = conv_bn(planes, planes, 3, stride)
        self.conv3 = conv_bn(planes, outputs, 1)
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else conv_bn(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """One residual block."""
        y = torch.relu_(self.conv1(x))
        y = torch.relu_(self.conv2(y))
        return torch.relu_(self.conv3(y) + self.shortcut(x))


def planes(width: float) -> tuple[int, ...]:
    """Inner channels of the four stages at a width (1 is ResNet-50: 64, 128, 256, 512)."""
    return tuple(max(1, round(64 * 2**i * width)) for i in range(4))


def stage_channels(width: float) -> tuple[int, ...]:
    """Output channels of the four stages at a width."""
    return tuple(EXPANSION * p for p in planes(width))


class Body(nn.Module):
    """The four residual stages.

    In structure 2 of `models.resnet_cascade` the caller runs the stages one by one and concatenates `extra[i]`
    channels to the output of stage i; the next stage is built for that many more inputs.
    """

    def __init__(
        self,
        inputs: int,
        width: float = 1.0,
        strides: Sequence[int] = STRIDES,
        layers: Sequence[int] = LAYERS,
        extra: Sequence[int] = (0, 0, 0, 0),
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        for inner, outputs, stride, depth, more in zip(
            planes(width), stage_channels(width), strides, layers, extra, strict=True
        ):
            first = Bottleneck(inputs, inner, stride)
            rest = [Bottleneck(outputs, inner, 1) for _ in range(depth - 1)]
            self.stages.append(nn.Sequential(first, *rest))
            inputs = outputs + more
        self.features = inputs

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, h, w] -> [N, features, h', w']; only for a body without extra channels."""
        for stage in self.stages:
            x = stage(x)
        return x


class Head(nn.Module):
    """Global average pooling and a linear classifier: [N, features, h, w] -> logits [N, classes]."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a feature map, or of pooled features [N, features]."""
        logits: Tensor = self.linear(x if x.ndim == 2 else x.mean(dim=(2, 3)))
        return logits


def initialise(module: nn.Module) -> None:
    """He initialisation (fan out), with the last scale of each block at zero (Goyal et al. 2017, 5.1)."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
    for part in module.modules():
        if isinstance(part, Bottleneck):
            last = part.conv3[1]
            assert isinstance(last, nn.BatchNorm2d)
            nn.init.zeros_(last.weight)
