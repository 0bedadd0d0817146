"""The cost of a network: its parameters, and its multiply-adds, counted while an image of zeros runs through it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from overtone.models.cascade import Cascade, State


@dataclass(frozen=True)
class Cost:
    """Parameters and multiply-adds per image; `low_macs` are those of a cascade's low path alone."""

    parameters: int
    macs: int
    low_macs: int | None = None

    def average(self, exit_share: float) -> float:
        """Mean multiply-adds per image when low answers this share of the images."""
        if self.low_macs is None:
            raise ValueError("only a cascade has a low path")
        return self.low_macs + (1 - exit_share) * (self.macs - self.low_macs)


def parameters(module: nn.Module) -> int:
    """Number of trainable values."""
    return sum(p.numel() for p in module.parameters())


def macs(module: nn.Module, run: Callable[[], object]) -> int:
    """Multiply-adds of the convolutions and linear layers of `module` that `run()` executes."""
    total = 0

    def count(layer: nn.Module, _: object, output: Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.Conv2d):
            total += output[0].numel() * layer.weight[0].numel()
        elif isinstance(layer, nn.Linear):
            total += layer.weight.numel()

    layers = [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    handles = [layer.register_forward_hook(count) for layer in layers]
    training = module.training
    try:
        with torch.inference_mode():
            module.eval()
            run()
    finally:
        module.train(training)
        for handle in handles:
            handle.remove()
    return total


def cost(model: nn.Module, size: int, channels: int | None = None) -> Cost:
    """The cost of a network per image of size x size pixels.

    A cascade is counted as low followed by high. Any other network takes `channels` coefficient maps of
    size/8 x size/8, or an RGB image if `channels` is None.
    """
    if isinstance(model, Cascade):
        return _cascade_cost(model, size)
    shape = (1, 3, size, size) if channels is None else (1, channels, size // 8, size // 8)
    return Cost(parameters(model), macs(model, lambda: model(torch.zeros(shape))))


def _cascade_cost(model: Cascade, size: int) -> Cost:
    a = model.architecture
    x6 = torch.zeros(1, a.low_channels, size // 8, size // 8)
    x18 = torch.zeros(1, a.high_channels, size // 8, size // 8)

    states: list[State] = []
    low = macs(model, lambda: states.append(model.low(x6)[1]))
    high = macs(model, lambda: model.high(states[0], x18))
    return Cost(parameters(model), low + high, low)
