"""The dynamic channel gate of Xu et al., "Learning in the Frequency Domain" (CVPR 2020), section 3.2.

For every image the gate decides which of the 192 frequency channels the network sees. A penalty on open
channels makes it close those that help least.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional

from overtone.frequency.channels import COUNT
from overtone.models.resnet import LAYERS, STRIDES, Body, Head, initialise

# Bias of a channel's two logits before training: a sample is open with probability sigmoid(2 - 0.1) = 87 %.
OFF, ON = 0.1, 2.0
# Standard deviation of the weights behind these logits: so small that at first only the biases matter.
SPREAD = 1e-3


class ChannelGate(nn.Module):
    """One decision per channel: coefficients [N, channels, h, w] -> float32[N, channels] of zeros and ones.

    In training a channel is open by a hard Gumbel-softmax sample, through which gradients flow as through the
    soft one (straight-through; Jang et al. 2017). The noise comes from torch's default generator, so
    `torch.manual_seed` before an epoch makes the epoch reproducible. In eval mode a channel is open if the
    larger logit says so, without noise.
    """

    def __init__(self, channels: int = COUNT) -> None:
        super().__init__()
        self.squeeze, self.norm = nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels)
        # Outputs 2c and 2c + 1 are the logits of channel c: off, on.
        self.decide = nn.Conv2d(channels, 2 * channels, 1, groups=channels)
        self.reset()

    def reset(self) -> None:
        """Initialise the last layer so that almost all channels are open, for any image."""
        nn.init.normal_(self.decide.weight, std=SPREAD)
        assert self.decide.bias is not None
        with torch.no_grad():
            self.decide.bias.view(-1, 2).copy_(torch.tensor([OFF, ON]))

    def logits(self, x: Tensor) -> Tensor:
        """Logits of off and on, float32[N, channels, 2]; never in bfloat16, whose rounding would decide."""
        with _without_autocast(x.device.type):
            pooled = x.float().mean(dim=(2, 3), keepdim=True)
            decided: Tensor = self.decide(torch.relu(self.norm(self.squeeze(pooled))))
        return decided.view(len(x), -1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Zeros and ones float32[N, channels], sampled in training."""
        logits = self.logits(x)
        if not self.training:
            return (logits[..., 1] > logits[..., 0]).to(logits.dtype)
        soft = functional.gumbel_softmax(logits, dim=-1)[..., 1]
        hard = (soft > 0.5).to(soft.dtype)
        # The bracket is exactly zero: open is 1, closed is 0, and the gradient is the soft sample's.
        return hard + (soft - soft.detach())


def _without_autocast(device: str) -> AbstractContextManager[object]:
    """Switch autocast off, on devices that have it; the meta device, on which cost is counted, does not."""
    available = torch.amp.is_autocast_available(device)
    return torch.autocast(device, enabled=False) if available else nullcontext()


class GatedResNet(nn.Module):
    """The gate, then ResNet-50 on the open channels; inputs are normalised coefficients.

    `open_share` is the mean share of open channels (0 to 1) in the last forward pass. It is differentiable in
    training, and the penalty is a multiple of it.
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
