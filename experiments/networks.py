"""The networks of the papers besides the cascade, as kinds that a recipe can name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, field_validator
from torch import Tensor, nn

from experiments.channel_gate import GatedResNet
from overtone.frequency.channels import ALL, COUNT, SETS, Channels
from overtone.models.resnet import LAYERS, STRIDES, Body, Head, initialise
from overtone.models.resnet_cascade import Normalise
from overtone.models.torch_vision import torchvision
from overtone.training.network_configs import Four, NetworkConfig, register
from overtone.training.systems import RGB, SingleSystem


def resnet50(
    channels: int | None,
    classes: int = 1000,
    width: float = 1.0,
    strides: Sequence[int] = STRIDES,
    layers: Sequence[int] = LAYERS,
) -> nn.Module:
    """ResNet-50 on coefficient maps float[N, channels, H/8, W/8] (Xu et al.), or on RGB float[N, 3, H, W]."""
    stem, inputs = nn.Sequential(), channels or max(1, round(64 * width))
    if channels is None:
        stem.extend([nn.Conv2d(3, inputs, 7, 2, 3, bias=False), nn.BatchNorm2d(inputs), nn.ReLU()])
        stem.append(nn.MaxPool2d(3, 2, 1))
    body = Body(inputs, width, strides, layers)
    network = nn.Sequential(stem, body, Head(body.features, classes))
    initialise(network)
    return network


def mobilenetv2(channels: int | None, classes: int = 1000, width: float = 1.0) -> nn.Module:
    """torchvision's MobileNetV2 (Sandler et al., CVPR 2018) on RGB or on coefficient maps, as `resnet50`.

    On coefficient maps the first convolution, which would halve the side, is dropped, and the first block reads the
    maps. Xu et al. use maps of 112 x 112, the DCT of 896 x 896 pixels.
    """
    network: nn.Module = torchvision().models.mobilenet_v2(num_classes=classes, width_mult=width)
    if channels is None:
        return network
    _, first, *rest = network.get_submodule("features").children()
    block = type(first)(channels, first.out_channels, stride=1, expand_ratio=1)
    for layer in block.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out")
    network.add_module("features", nn.Sequential(block, *rest))
    return network


class Normalised(nn.Module):
    """A network with the normalisation of its input in front."""

    def __init__(self, channels: Channels | None, network: nn.Module) -> None:
        super().__init__()
        self.norm = Normalise(RGB if channels is None else len(channels))
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Logits for coefficients, or for pixels from 0 to 255."""
        logits: Tensor = self.network(self.norm(x))
        return logits


@dataclass(frozen=True)
class GatedSystem(SingleSystem):
    """A network behind a gate, which pays `cost` when all channels are open."""

    cost: float = 0.0

    @property
    def network(self) -> GatedResNet:
        """The network without its normalisation."""
        network = self.module.get_submodule("network")
        assert isinstance(network, GatedResNet)
        return network

    def penalty(self) -> Tensor:
        """The cost of the share of channels that were open."""
        return self.cost * self.network.open_share


class _WithInput(NetworkConfig):
    """A network on RGB images, on the frequency channels of a named set, or on listed channels."""

    input: Literal["rgb"] | int | Channels
    width: float = Field(default=1.0, gt=0)

    @field_validator("input")
    @classmethod
    def _known(cls, value: Literal["rgb"] | int | Channels) -> Literal["rgb"] | int | Channels:
        if isinstance(value, int) and value not in SETS:
            raise ValueError(f"the named sets are {', '.join(map(str, SETS))}")
        if isinstance(value, tuple) and not (
            value and set(value) <= set(ALL) and len(set(value)) == len(value)
        ):
            raise ValueError(f"channels are different indices from 0 to {COUNT - 1}, at least one")
        return value

    @property
    def channels(self) -> Channels | None:
        """The channels that the input stands for; None for RGB."""
        if isinstance(self.input, int):
            return SETS[self.input]
        return None if isinstance(self.input, str) else self.input

    @property
    def inputs(self) -> int | None:
        """The number of input channels; None for RGB."""
        return None if self.channels is None else len(self.channels)

    @property
    def rgb(self) -> bool:
        """Whether the network reads RGB images."""
        return self.channels is None

    def system(self, network: nn.Module) -> SingleSystem:
        """A network that reads this input, with its normalisation."""
        return SingleSystem(Normalised(self.channels, network), self.channels)


@register
class ResNet50(_WithInput):
    """One ResNet-50, on RGB or on frequency channels (Xu et al.)."""

    kind: Literal["resnet50"] = "resnet50"
    strides: Four = STRIDES
    layers: Four = LAYERS

    def build(self, classes: int) -> SingleSystem:
        """The network with random weights."""
        return self.system(resnet50(self.inputs, classes, self.width, self.strides, self.layers))


@register
class MobileNetV2(_WithInput):
    """One MobileNetV2, on RGB or on frequency channels (Xu et al.)."""

    kind: Literal["mobilenetv2"] = "mobilenetv2"

    def check_size(self, size: int) -> None:
        """Refuse sides that leave a map of one value.

        There most taps of a depthwise kernel see padding only, and oneDNN (torch 2.13) sometimes returned
        uninitialised memory as their gradient.
        """
        super().check_size(size)
        most = 32 if self.rgb else 8 * 16
        if size <= most:
            raise ValueError(f"MobileNetV2 shrinks {size} pixels to one value; take more than {most}")

    def build(self, classes: int) -> SingleSystem:
        """The network with random weights."""
        return self.system(mobilenetv2(self.inputs, classes, self.width))


@register
class Gate(NetworkConfig):
    """ResNet-50 on all 192 channels behind the dynamic gate of Xu et al., section 3.2."""

    kind: Literal["gate"] = "gate"
    # Their lambda: what all channels open would add to the loss.
    cost: float = Field(ge=0)
    width: float = Field(default=1.0, gt=0)
    strides: Four = STRIDES
    layers: Four = LAYERS

    def build(self, classes: int) -> GatedSystem:
        """The network with random weights."""
        gated = GatedResNet(classes, self.width, self.strides, self.layers)
        return GatedSystem(Normalised(ALL, gated), ALL, self.cost)
