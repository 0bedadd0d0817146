"""What can be trained: every kind of network behind one face, so that one trainer serves them all."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Protocol, Self

import torch
from torch import Tensor, nn

from overtone.frequency.channels import ALL, HIGH, LOW, Channels
from overtone.models.cascade import Cascade, Normalise
from overtone.models.cost import Cost, cost
from overtone.models.gate import GatedResNet
from overtone.models.mobilenet import frequency_mobilenetv2, rgb_mobilenetv2
from overtone.models.patch import PatchResNet
from overtone.models.resnet import frequency_resnet50, rgb_resnet50
from overtone.training.kinds import CascadeNetwork, Gate, MobileNetV2, Patch, ResNet50, channels_of
from overtone.training.recipe import Recipe

Steps = tuple[tuple[nn.Module, ...], ...]
RGB = 3


class System(Protocol):
    """A network, what it is fed, and which of its parts are trained in which step."""

    @property
    def module(self) -> nn.Module:
        """All weights and buffers."""

    @property
    def channels(self) -> Channels | None:
        """Frequency channels it takes, in order; None for RGB pictures."""

    def steps(self) -> Steps:
        """The parts that each step trains; what an earlier step trained is frozen."""

    def logits(self, step: int, x: Tensor) -> Tensor:
        """Logits [N, classes] of what a step trains, for [N, channels, h, w]."""

    def penalty(self) -> Tensor:
        """What the last forward pass adds to the loss."""

    def normalise(self, mean: Tensor, std: Tensor) -> None:
        """Set what is subtracted from, and then divides, each channel."""

    def around(self, module: nn.Module) -> Self:
        """The same system with another copy of its network."""


@dataclass(frozen=True)
class CascadeSystem:
    """The high/low separation: two steps, on low and high channels."""

    module: Cascade
    channels: Channels = LOW + HIGH

    def steps(self) -> Steps:
        """Structure 3: high, then low; the others low, then high."""
        return self.module.steps()

    def logits(self, step: int, x: Tensor) -> Tensor:
        """Of the high network in the step that trains it, else of the low one."""
        x6, x18 = x[:, : len(LOW)], x[:, len(LOW) :]
        if self.module.high_head in self.module.steps()[step]:
            both: Tensor = self.module(x6, x18)
            return both
        return self.module.low(x6)[0]

    def penalty(self) -> Tensor:
        """None."""
        return torch.zeros(())

    def normalise(self, mean: Tensor, std: Tensor) -> None:
        """Set both bands' normalisation."""
        set_normalisation(self.module.low_norm, mean[: len(LOW)], std[: len(LOW)])
        set_normalisation(self.module.high_norm, mean[len(LOW) :], std[len(LOW) :])

    def around(self, module: nn.Module) -> Self:
        """The same system with another copy of its network."""
        assert isinstance(module, Cascade)
        return replace(self, module=module)


@dataclass(frozen=True)
class Single:
    """Normalisation and one network, trained in one step."""

    module: nn.Module
    channels: Channels | None

    def steps(self) -> Steps:
        """All of it."""
        return ((self.module,),)

    def logits(self, step: int, x: Tensor) -> Tensor:
        """Of the network."""
        found: Tensor = self.module(x)
        return found

    def penalty(self) -> Tensor:
        """None."""
        return torch.zeros(())

    def normalise(self, mean: Tensor, std: Tensor) -> None:
        """Set the normalisation in front of the network."""
        norm = self.module.get_submodule("norm")
        assert isinstance(norm, Normalise)
        set_normalisation(norm, mean, std)

    def around(self, module: nn.Module) -> Self:
        """The same system with another copy of its network."""
        return replace(self, module=module)


@dataclass(frozen=True)
class Gated(Single):
    """A network behind a gate, which pays `cost` for having all channels open."""

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


class Normalised(nn.Module):
    """A network with the normalisation of its input in front."""

    def __init__(self, channels: Channels | None, network: nn.Module) -> None:
        super().__init__()
        self.norm = Normalise(RGB if channels is None else len(channels))
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Logits for coefficients, or for pixels from 0 to 255, as they are."""
        logits: Tensor = self.network(self.norm(x))
        return logits


def set_normalisation(norm: Normalise, mean: Tensor, std: Tensor) -> None:
    """Write measured statistics [C] into a normalisation."""
    norm.mean.copy_(mean[:, None, None])
    norm.std.copy_(std[:, None, None])


def build(recipe: Recipe, classes: int) -> System:
    """The recipe's system for so many classes, with random weights."""
    match recipe.network:
        case CascadeNetwork() as n:
            return CascadeSystem(Cascade(n.architecture(classes)))
        case Gate() as n:
            gated = GatedResNet(classes, width=n.width, strides=n.strides, layers=n.layers)
            return Gated(Normalised(ALL, gated), ALL, n.cost)
        case Patch() as n:
            return Single(PatchResNet(classes, n.width, n.stem, n.strides, n.layers), None)
        case ResNet50() as n:
            channels = channels_of(n.input)
            if channels is None:
                return _single(None, rgb_resnet50(classes, n.width, n.strides, n.layers))
            return _single(channels, frequency_resnet50(len(channels), classes, n.strides, n.width, n.layers))
        case MobileNetV2() as n:
            channels = channels_of(n.input)
            if channels is None:
                return _single(None, rgb_mobilenetv2(classes, n.width))
            return _single(channels, frequency_mobilenetv2(len(channels), classes, n.width))


def _single(channels: Channels | None, network: nn.Module) -> Single:
    return Single(Normalised(channels, network), channels)


def cost_of(recipe: Recipe, classes: int) -> Cost:
    """What the recipe's network costs at its size, counted without memory or compute where that can be."""
    # The gate turns autocast off, which wants a real device.
    with torch.device("cpu" if isinstance(recipe.network, Gate) else "meta"):
        system = build(recipe, classes)
        return cost(system.module, recipe.size, None if system.channels is None else len(system.channels))


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 where the device computes it in hardware, else float32."""
    capable = device.type == "cuda" or torch.cpu.get_capabilities().get("avx512_bf16", False)
    return torch.autocast(device.type, torch.bfloat16) if capable else nullcontext()
