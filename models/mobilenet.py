"""MobileNetV2 (Sandler et al., CVPR 2018) on RGB pictures, and on coefficient maps (Xu et al., CVPR 2020).

The frequency variant drops the first convolution, which would halve the side: its first block takes the C
coefficient maps as they are. Xu et al. feed maps of 112 x 112, the DCT of 896 x 896 pixels.
"""

from torch import Tensor, nn

from overtone.models.resnet import Head, conv_bn

# Expansion, output channels, blocks, stride of the first block (their table 2).
BLOCKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
FIRST, LAST = 32, 1280
DROPOUT = 0.2


def scaled(channels: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `channels`, at most a tenth below it: how the authors round."""
    nearest = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * channels else nearest


def conv_relu6(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution without bias, batch normalisation, ReLU6."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """1x1 to `expansion` times the channels, 3x3 on each alone, 1x1 back without ReLU.

    [N, inputs, h, w] -> [N, outputs, h/s, w/s]
    """

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        expand = [conv_relu6(inputs, inner, 1)] if expansion > 1 else []
        each_alone = conv_relu6(inner, inner, 3, stride, groups=inner)
        self.layers = nn.Sequential(*expand, each_alone, conv_bn(inner, outputs, 1))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """One block."""
        y: Tensor = self.layers(x)
        return x + y if self.residual else y


class Pool(nn.Module):
    """Global average pooling: [N, C, h, w] -> [N, C]."""

    def forward(self, x: Tensor) -> Tensor:
        """Means over the map."""
        return x.mean(dim=(2, 3))


class MobileNetV2(nn.Sequential):
    """Stem, seventeen blocks, 1x1 convolution, head: [N, inputs, h, w] -> logits [N, classes]."""

    def __init__(self, stem: nn.Module, inputs: int, classes: int, width: float = 1.0) -> None:
        blocks = []
        for expansion, channels, depth, stride in BLOCKS:
            outputs = scaled(channels * width)
            for i in range(depth):
                blocks.append(InvertedResidual(inputs, outputs, stride if i == 0 else 1, expansion))
                inputs = outputs
        last = scaled(LAST * max(1.0, width))
        body = nn.Sequential(*blocks, conv_relu6(inputs, last, 1))
        super().__init__(stem, body, Pool(), nn.Dropout(DROPOUT), Head(last, classes))
        initialise(self)


def initialise(module: nn.Module) -> None:
    """He initialisation (fan out) of convolutions, normal(0, 0.01) of the classifier, as the authors do."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out")
        elif isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, 0, 0.01)
            nn.init.zeros_(part.bias)


def rgb_mobilenetv2(classes: int = 1000, width: float = 1.0) -> MobileNetV2:
    """MobileNetV2 on RGB pictures: float[N, 3, H, W] -> logits."""
    inputs = scaled(FIRST * width)
    return MobileNetV2(conv_relu6(3, inputs, 3, stride=2), inputs, classes, width)


def frequency_mobilenetv2(channels: int, classes: int = 1000, width: float = 1.0) -> MobileNetV2:
    """MobileNetV2 on coefficient maps (Xu et al.): float[N, channels, H/8, W/8] -> logits."""
    return MobileNetV2(nn.Identity(), channels, classes, width)
