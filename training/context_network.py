"""Training of the small networks that choose the entropy coder's contexts (see `frequency.context`).

A network is trained in floats with the likelihood of a mixture of three logistic distributions around its centre,
whose scales its spread multiplies and whose weights its shape moves (as in PixelCNN++, Salimans et al. 2017). Then it
is rounded to integers; tables are counted with the integers, and the mixture is not needed any more.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from overtone.frequency.network import MAX_BIAS, MAX_WEIGHT, OUTPUTS, write_weights

Floats = NDArray[np.float32]

BATCH: Final = 1024
_RATE: Final = 8e-3
_LARGEST: Final = MAX_WEIGHT / 32
# Four levels of the spread in a unit of the output, each 0.2 wide.
_LOG_SPREAD: Final = (0.8, -3.2)


@dataclass(frozen=True)
class Observations:
    """Blocks of one channel at all qualities.

    Attributes:
        features: the T taps float32[n, T], in steps of the channel.
        codes: the same taps as signed logarithmic codes, int8[n, T].
        others: int8[n, E]: codes of the channel's step, row, column, activity above, activities of planes.
        target: float32[n], the value to be coded in steps, minus its prediction or its coarse value.
        centred: float32[n], what is subtracted from the linear part of the centre.
        quality: int64[n], the index of the quality.
    """

    features: Floats
    codes: NDArray[np.int8]
    others: NDArray[np.int8]
    target: Floats
    centred: Floats
    quality: NDArray[np.int64]


class Mixture(nn.Module):
    """A mixture of three logistic distributions, whose scales and weights are learned."""

    def __init__(self) -> None:
        super().__init__()
        self.scales = nn.Parameter(torch.tensor([-0.7, 0.3, 1.5]))
        self.weights = nn.Parameter(torch.tensor([0.0, 0.5, -2.0]))
        self.tilts = nn.Parameter(torch.tensor([0.5, 0.0, -0.5]))

    def likelihood(self, away: Tensor, log_spread: Tensor, shape: Tensor) -> Tensor:
        """The probability float32[n] of integers at a distance `away` float32[n] from the centre."""
        inverse = torch.exp(-(log_spread[:, None] + self.scales))
        above = torch.sigmoid((away[:, None] + 0.5) * inverse)
        below = torch.sigmoid((away[:, None] - 0.5) * inverse)
        share = torch.softmax(self.weights + self.tilts * shape[:, None], -1)
        return (share * (above - below)).sum(-1) + 1e-6 / (1 + away * away)


class ContextNetwork(nn.Module):
    """The network in floats: linear centre, hidden units, and three outputs."""

    def __init__(self, centre: Floats, others: int, units: int) -> None:
        super().__init__()
        self.centre = nn.Parameter(torch.from_numpy(centre))
        self.hidden = nn.Linear(2 * len(centre) + 2 + others, units)
        self.output = nn.Linear(units, OUTPUTS)
        with torch.no_grad():
            self.output.weight.mul_(0.3)
            self.output.bias.copy_(torch.tensor([0.0, 3.0, 1.0]))

    def forward(
        self, features: Tensor, codes: Tensor, others: Tensor, centred: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Centre, logarithm of the spread, and shape, each float32[n]; the inputs are those of `Observations`."""
        linear = features @ self.centre - centred
        scale = torch.log2(1 + 4 * linear.abs()).clamp(max=16) / 2
        positive, sign = codes.clamp(min=0), linear > 0
        # As in the profile, the negative part of a feature follows its positive part.
        split = torch.stack([positive, positive - codes], -1).flatten(1)
        inputs = [split, (scale * sign)[:, None], (scale * ~sign)[:, None], others]
        found = self.output(torch.relu(self.hidden(torch.cat(inputs, 1))))
        log_spread = (found[:, 1].clamp(0, 8) + 0.1 * (found[:, 1] - found[:, 1].clamp(0, 8))) * _LOG_SPREAD[
            0
        ] + _LOG_SPREAD[1]
        moved = found[:, 0].clamp(-4, 4) * torch.exp(log_spread)
        return linear + moved, log_spread, found[:, 2].clamp(0, 3)

    def clip(self) -> None:
        """Clamp the weights to the range that the profile's letters can express."""
        with torch.no_grad():
            for weight in (self.hidden.weight, self.output.weight):
                weight.clamp_(-_LARGEST, _LARGEST)


def bits(mixture: Mixture, outputs: tuple[Tensor, Tensor, Tensor], target: Tensor, refines: bool) -> Tensor:
    """Bits float32[n] that targets take; a refinement is known to be -1, 0 or 1."""
    centre, log_spread, shape = outputs
    found = mixture.likelihood(target - centre, log_spread, shape)
    if refines:
        found = found / sum(mixture.likelihood(r - centre, log_spread, shape) for r in (-1.0, 0.0, 1.0))
    return -torch.log2(found)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Batches are so small that more threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@_one_thread()
def train(
    seen: Observations,
    centre: Floats,
    units: int,
    mixture: Mixture,
    refines: bool,
    steps: int,
    learn_mixture: bool,
) -> ContextNetwork:
    """Train a network to code the observations in few bits.

    Qualities whose values take few bits count for more than their share.

    Args:
        seen: the observations.
        centre: float32[T], the weights that the linear part of the centre starts from.
        units: number of hidden units.
        mixture: the distribution around the centre, which is trained too if `learn_mixture`.
        refines: whether the values refine coarser ones, so that each is -1, 0 or 1.
        steps: number of steps of the optimiser.
        learn_mixture: whether to train the mixture.
    """
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    network = ContextNetwork(centre, seen.others.shape[1], units)
    groups: list[dict[str, Any]] = [
        {"params": [network.centre], "lr": _RATE / 10},
        {"params": [*network.hidden.parameters(), *network.output.parameters()]},
    ]
    groups += [{"params": list(mixture.parameters())}] if learn_mixture else []
    optimiser = torch.optim.Adam(groups, lr=_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [_RATE / 10] + [_RATE] * (len(groups) - 1), total_steps=steps, pct_start=0.15
    )
    parts = [
        torch.from_numpy(a)
        for a in (seen.features, seen.codes, seen.others, seen.centred, seen.target, seen.quality)
    ]
    means = torch.ones(int(seen.quality.max()) + 1)
    for _ in range(steps):
        drawn = torch.randint(len(seen.target), (BATCH,), generator=generator)
        features, codes, others, centred, target, quality = (part[drawn] for part in parts)
        outputs = network(features, codes.float() / 16, others.float() / 16, centred)
        cost = bits(mixture, outputs, target, refines)
        with torch.no_grad():
            total = torch.zeros_like(means).index_add_(0, quality, cost)
            count = torch.zeros_like(means).index_add_(0, quality, torch.ones_like(cost))
            means = torch.where(count > 0, 0.98 * means + 0.02 * total / count.clamp(min=1), means)
            weight = (means + 0.02).rsqrt()[quality]
        optimiser.zero_grad()
        (cost * weight / weight.mean()).mean().backward()
        optimiser.step()
        schedule.step()
        network.clip()
    return network


def rounded(network: ContextNetwork) -> dict[str, Any]:
    """The trained fields of `frequency.tables.Network`, except the centre, as integers and letters."""
    hidden, output = (
        _integers(layer.weight.T * 32, MAX_WEIGHT) for layer in (network.hidden, network.output)
    )
    return {
        "bias": tuple(_integers(network.hidden.bias * 1024, MAX_BIAS).tolist()),
        "hidden": write_weights(hidden),
        "output": write_weights(output.T),
        "output_bias": tuple(_integers(network.output.bias * 1024, MAX_BIAS).tolist()),
    }


def _integers(values: Tensor, most: int) -> NDArray[np.int64]:
    found: NDArray[np.int64] = values.detach().round().clamp(-most, most).to(torch.int64).numpy()
    return found
