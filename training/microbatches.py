"""One batch computed in parts, as if it had been computed at once."""

from collections.abc import Iterable

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from overtone.training.systems import System

MOMENTUM = 0.1


class Pass(nn.Module):
    """The forward pass of one training step as a module, which is what DistributedDataParallel wraps."""

    def __init__(self, system: System, step: int) -> None:
        super().__init__()
        self.module, self.system, self.step = system.module, system, step

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(logits, penalty)."""
        return self.system.logits(self.step, x), self.system.penalty()


def share_statistics(parts: Iterable[nn.Module], part: int, count: int) -> None:
    """Set the momentum of batch normalisation for micro-batch `part` (from 0) of `count`.

    After all of them, running statistics have moved towards the mean of the micro-batches' statistics by 0.1,
    as one batch moves them.
    """
    momentum = 1 / (count / MOMENTUM - (count - 1 - part))
    for module in parts:
        for layer in module.modules():
            if isinstance(layer, _BatchNorm):
                layer.momentum = momentum
