"""How many answers of a system are right."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from overtone.training.inputs import Inputs
from overtone.training.systems import System, autocast


@dataclass(frozen=True)
class Score:
    """Pictures, how many of them the first answer names, and how many the first five do."""

    n: int
    first: int
    five: int

    @property
    def top1(self) -> float:
        """A fraction."""
        return self.first / self.n

    @property
    def top5(self) -> float:
        """A fraction."""
        return self.five / self.n


@torch.no_grad()
def score(
    system: System, step: int, inputs: Inputs, batches: Iterable[tuple[Tensor, Tensor]], quantiser: float
) -> Score:
    """What a training step has trained, on batches at one quantiser step; leaves the system in eval mode."""
    system.module.eval()
    n = first = five = 0
    for rgb, target in batches:
        with autocast(inputs.device):
            logits = system.logits(step, inputs.at(rgb, quantiser))
        best = logits.topk(min(5, logits.shape[1])).indices.cpu() == target[:, None]
        n, first, five = n + len(target), first + int(best[:, 0].sum()), five + int(best.sum())
    return Score(n, first, five)
