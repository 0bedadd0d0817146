"""The dynamic channel gate of Xu et al., "Learning in the Frequency Domain" (CVPR 2020), section 3.2.

For every picture the gate decides which of the 192 frequency channels the network gets to see; a penalty on
the open ones makes it give up those that help least.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from overtone.frequency.channels import COUNT
from overtone.models.resnet import LAYERS, STRIDES, Body, Head, initialise

# Bias of a channel's two logits before training: open in sigmoid(2 - 0.1) = 87 % of the draws.
OFF, ON = 0.1, 2.0
# Spread of the weights behind these logits: small, so that the biases alone decide in the beginning.
SPREAD = 1e-3


class ChannelGate(nn.Module):
    """One decision a channel: coefficients [N, channels, h, w] -> float32[N, channels] of zeros and ones.

    In training a channel is open by a hard Gumbel-softmax sample, and gradients flow as through the soft one
    (straight-through; Jang et al. 2017). The noise is float32 and comes from torch's default generator, so
    `torch.manual_seed` before an epoch makes the epoch repeatable. In eval mode a channel is open when its
    larger logit says so, without noise.
    """

    def __init__(self, channels: int = COUNT) -> None:
        super().__init__()
        self.squeeze, self.norm = nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels)
        # Outputs 2c and 2c + 1 are the logits of channel c: off, on.
        self.decide = nn.Conv2d(channels, 2 * channels, 1, groups=channels)
        self.reset()

    def reset(self) -> None:
        """Almost all channels open, whatever the picture."""
        nn.init.normal_(self.decide.weight, std=SPREAD)
        assert self.decide.bias is not None
        with torch.no_grad():
            self.decide.bias.view(-1, 2).copy_(torch.tensor([OFF, ON]))

    def logits(self, x: Tensor) -> Tensor:
        """float32[N, channels, 2]: off and on, in float32 under autocast too, where rounding would decide."""
        with _without_autocast(x.device.type):
            pooled = x.float().mean(dim=(2, 3), keepdim=True)
            decided: Tensor = self.decide(torch.relu(self.norm(self.squeeze(pooled))))
        return decided.view(len(x), -1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Zeros and ones float32[N, channels], sampled in training."""
        logits = self.logits(x)
        if not self.training:
            return _argmax(logits).to(logits.dtype)
        soft = functional.gumbel_softmax(logits, dim=-1)[..., 1]
        hard = (soft > 0.5).to(soft.dtype)
        # The bracket is exactly zero: open is 1, closed is 0, and the gradient is the soft sample's.
        return hard + (soft - soft.detach())


def _without_autocast(device: str) -> AbstractContextManager[object]:
    """As it says; a device that has none (meta, where cost is counted) would refuse to be asked."""
    available = torch.amp.is_autocast_available(device)
    return torch.autocast(device, enabled=False) if available else nullcontext()


def _argmax(logits: Tensor) -> Tensor:
    return logits[..., 1] > logits[..., 0]


class GatedResNet(nn.Module):
    """Gate, then ResNet-50 on the channels it lets through; its inputs are normalised coefficients.

    `open_share` is the mean share of open channels in the last forward pass (0 to 1), differentiable in
    training: the penalty is a multiple of it.
    """

    open_share: Tensor

    def __init__(
        self,
        classes: int,
        width: float = 1.0,
        strides: Sequence[int] = STRIDES,
        layers: Sequence[int] = LAYERS,
        channels: int = COUNT,
    ) -> None:
        super().__init__()
        self.gate = ChannelGate(channels)
        self.body = Body(channels, width, strides, layers)
        self.head = Head(self.body.features, classes)
        initialise(self)
        self.gate.reset()
        self.open_share = torch.zeros(())

    def forward(self, x: Tensor) -> Tensor:
        """Normalised coefficients [N, 192, h, w] -> logits [N, classes]."""
        opened = self.gate(x)
        self.open_share = opened.mean()
        logits: Tensor = self.head(self.body(x * opened[..., None, None].to(x.dtype)))
        return logits

    def gates(self, x: Tensor) -> Tensor:
        """bool[N, 192]: the channels that inference opens for each picture, without noise (in eval mode)."""
        return _argmax(self.gate.logits(x))

    def __getstate__(self) -> dict[str, Any]:
        # A copy (averaged weights are one) cannot take along the graph behind the share.
        return self.__dict__ | {"open_share": self.open_share.detach().clone()}
