"""Networks prepared for inference: normalisations folded into convolutions, decoding into the first of them."""

import copy
import logging
from collections.abc import Iterator
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from overtone.models.coefficient_stem import CoefficientNetwork

log = logging.getLogger(__name__)
M = TypeVar("M", bound=nn.Module)


def fused(model: M, example: tuple[Tensor, ...]) -> M:
    """A copy in which every batch normalisation is part of the convolution before it, if the result is the same.

    Networks that read decoded coefficients then decode in their first convolution, where its stride allows it.
    Children are paired in the order they were registered, which is the order of the computation in the usual
    networks but need not be; hence the comparison on an example.
    """
    changed = copy.deepcopy(model)
    for parent in list(changed.modules()):
        for (name, conv), (after, norm) in pairwise(list(parent.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(conv, norm))
                setattr(parent, after, _rest(norm))
    for parent, name, network in list(_coefficient_networks(changed)):
        setattr(parent, name, network.folded())
    with torch.inference_mode():
        before, now = model(*example), changed(*example)
    if torch.allclose(before, now, rtol=1e-3, atol=1e-3 * float(before.abs().max() + 1)):
        return changed
    log.warning("convolutions and normalisations could not be fused; running them apart")
    return model


def _rest(norm: nn.BatchNorm2d) -> nn.Module:
    """What is left of a normalisation that was folded; timm's carry an activation with them."""
    act = getattr(norm, "act", None)
    return act if isinstance(act, nn.Module) else nn.Identity()


def _coefficient_networks(model: nn.Module) -> Iterator[tuple[nn.Module, str, CoefficientNetwork]]:
    for parent in model.modules():
        for name, child in parent.named_children():
            if isinstance(child, CoefficientNetwork):
                yield parent, name, child
