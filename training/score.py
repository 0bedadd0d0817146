"""Top-1 and top-5 accuracy of a network in training."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from overtone.training.inputs import Inputs
from overtone.training.systems import SingleSystem, autocast


class Score(NamedTuple):
    """Number of images, and the shares whose class is the first answer and among the first five."""

    n: int
    top1: float
    top5: float


@torch.no_grad()
def score(
    system: SingleSystem,
    step: int,
    inputs: Inputs,
    batches: Iterable[tuple[Tensor, Tensor]],
    quantiser: Tensor | float,
) -> Score:
    """Score the network of a training step on batches at one quantiser step; leaves it in eval mode."""
    system.module.eval()
    n = first = five = 0
    for rgb, target in batches:
        with autocast(inputs.device, system):
            logits = system.logits(step, inputs.at(rgb, quantiser))
        best = logits.topk(min(5, logits.shape[1])).indices.cpu() == target[:, None]
        n, first, five = n + len(target), first + int(best[:, 0].sum()), five + int(best.sum())
    return Score(n, first / n, five / n)
