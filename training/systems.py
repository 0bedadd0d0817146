"""Systems: networks of any kind, with the channels they read and the steps in which the trainer trains them."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from overtone.frequency.channels import HIGH, LOW, Channels
from overtone.models.bodies import RGBNetwork
from overtone.models.body_cascade import BodyCascade
from overtone.models.cascade import Band, Cascade
from overtone.models.resnet_cascade import Normalise, ResNetCascade

Steps = tuple[tuple[nn.Module, ...], ...]
RGB = 3


@dataclass(frozen=True)
class SingleSystem:
    """One network, trained as a whole in one step; its submodule `norm` normalises the input.

    Attributes:
        module: all weights and buffers.
        channels: the frequency channels it takes, in order; None for RGB images.
    """

    module: nn.Module
    channels: Channels | None

    def steps(self) -> Steps:
        """The modules that each step trains; later steps freeze what earlier ones trained."""
        return ((self.module,),)

    def logits(self, step: int, x: Tensor) -> Tensor:
        """Logits [N, classes] of the network that a step trains, for inputs [N, channels, h, w]."""
        found: Tensor = self.module(x)
        return found

    def band(self, step: int) -> Band | None:
        """The band whose network a step trains; None if there is one network for all channels."""
        return None

    def penalty(self) -> Tensor:
        """A term that the last forward pass adds to the loss."""
        return torch.zeros(())

    def normalise(self, mean: Tensor, std: Tensor) -> None:
        """Set the mean and standard deviation [channels] of the input."""
        norm = self.module.get_submodule("norm")
        assert isinstance(norm, Normalise)
        set_normalisation(norm, mean, std)


@dataclass(frozen=True)
class CascadeSystem(SingleSystem):
    """A cascade, trained in two steps on low and high channels."""

    module: Cascade
    channels: Channels = LOW + HIGH

    def steps(self) -> Steps:
        """Structure 3: high, then low; structures 1 and 2: low, then high."""
        return self.module.steps()

    def logits(self, step: int, x: Tensor) -> Tensor:
        """Logits of the high network in the step that trains it, otherwise of the low one."""
        x6, x18 = x[:, : len(LOW)], x[:, len(LOW) :]
        if self.band(step) == "high":
            both: Tensor = self.module(x6, x18)
            return both
        return self.module.low(x6)[0]

    def band(self, step: int) -> Band:
        """The band whose network a step trains, in the cascade's order."""
        return self.module.order[step]

    def normalise(self, mean: Tensor, std: Tensor) -> None:
        """Set the normalisation of both bands; bodies bring their own."""
        if not isinstance(self.module, ResNetCascade):
            return
        set_normalisation(self.module.low_norm, mean[: len(LOW)], std[: len(LOW)])
        set_normalisation(self.module.high_norm, mean[len(LOW) :], std[len(LOW) :])


def set_normalisation(norm: Normalise, mean: Tensor, std: Tensor) -> None:
    """Write measured statistics [C] into a normalisation layer."""
    norm.mean.copy_(mean[:, None, None])
    norm.std.copy_(std[:, None, None])


def autocast(device: torch.device, system: SingleSystem | None = None) -> AbstractContextManager[object]:
    """Autocast to bfloat16 if the device computes it in hardware; bodies on a CPU stay in float32.

    Their depthwise convolutions gain nothing from bfloat16 on a CPU: EfficientNet-Lite trained 10 to 50 % faster
    without it.
    """
    if system is not None and device.type == "cpu" and isinstance(system.module, BodyCascade | RGBNetwork):
        return nullcontext()
    capable = device.type == "cuda" or torch.cpu.get_capabilities().get("avx512_bf16", False)
    return torch.autocast(device.type, torch.bfloat16) if capable else nullcontext()
