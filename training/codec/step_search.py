"""Search for the steps and the dead zone that change a cascade's answers least for their bytes.

For a given number of bytes per image, the steps s of all channels should minimise

    D(s) = sum over layers l of p_l KL(answer exact || answer rounded as after layer l)

while R(s) = sum over layers l of p_l R_l is that number of bytes. p_l is the share of images for which layer l is
requested, 1 for the first. Later terms are measured on those images alone: they are the ones that low is least
confident of, and rounding harms them more than others. "Exact" means computed from coefficients that are not
rounded. A layer that refines values takes the bytes of the finer step without those of the coarser one, as nested
quantisers do at their best.

At the optimum, saving a byte does the same harm in every channel (Shoham and Gersho, "Efficient bit allocation
for an arbitrary set of quantizers", IEEE Trans. ASSP 1988). So the search widens the step of one channel at a
time, measures d = dD / d log s and r = -dR / d log s, moves each log s by a fraction of log(r / d), and scales
all steps to restore R.

D is measured rather than derived. Rounding to few levels is not a small error, and both a straight-through
gradient and the Fisher information ranked channels so badly that one step for all was better.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from overtone.frequency import TWO_LAYERS, Layer
from overtone.models import Cascade
from overtone.training.codec.rate import Rate, Row
from overtone.training.systems import autocast
from overtone.training.transform import Quantiser

LEAST, MOST = 6.0, 1536.0
WIDER = 1.5
ROUNDS = 3
# Of the logarithm of a step: the share of log(r / d) that it moves by, and its longest move in a round.
PACE = 0.5
LONGEST_MOVE = 0.35
BATCH = 60
TINY = 1e-12


@dataclass(frozen=True)
class Choice:
    """Steps [C] and a rounding threshold, with the estimated bytes per image and the harm D in nats."""

    steps: tuple[int, ...]
    threshold: float
    bytes: float
    harm: float


class StepSearch:
    """Finds steps for one cascade.

    Args:
        model: in eval mode; the search does not change it.
        values: coefficients float32[N, C, h, w] of the images to choose on, not quantised.
        rates: one for each rounding threshold to choose from.
        weights: float64[C], the factor for each channel's bytes in `rates`.
        share: of the images for which the last layer is requested; those of the layers before it lie between
            1 and this in a geometric sequence.
        ladder: the layers.
    """

    def __init__(
        self,
        model: Cascade,
        values: NDArray[np.float32],
        rates: Sequence[Rate],
        weights: Row,
        share: float,
        ladder: tuple[Layer, ...] = TWO_LAYERS,
    ) -> None:
        self.model, self.rates, self.weights = model, rates, weights
        self.low = model.architecture.low_channels
        self._values = torch.from_numpy(values).to(next(model.parameters()).device)
        exact = [self._low(x) for x in self._values.split(BATCH)]
        order = torch.cat(exact).softmax(1).amax(1).argsort()
        shares = [share ** (number / (len(ladder) - 1)) for number in range(len(ladder))]
        self._layers = [
            self._build_layer(ladder, number, order[: round(requested * len(order))], requested)
            for number, requested in enumerate(shares)
        ]

    def _build_layer(
        self, ladder: Sequence[Layer], number: int, requesting: Tensor, share: float
    ) -> "_Layer":
        """A layer of the ladder; `requesting` has the indices int64[n] of the images that request it."""
        factors = np.ones((2, len(self.weights)))
        split, known = {"low": slice(self.low), "high": slice(self.low, None)}, {"low": False, "high": False}
        for layer in ladder[:number]:
            factors[0, split[layer.band]] = layer.factor
            known[layer.band] = True
        band = ladder[number].band
        refines, coded = known[band], split[band]
        factors[1] = factors[0]
        factors[1, coded] = ladder[number].factor
        high = known["high"] or band == "high"
        values = self._values[requesting.sort().values]
        answer = self._high if high else self._low
        exact = [answer(x) for x in values.split(BATCH)]
        return _Layer(coded, refines, factors, share, values, high, exact)

    def run(
        self,
        budget: float,
        start: Sequence[float],
        rounds: int = ROUNDS,
        done: Callable[[], None] = lambda: None,
    ) -> Choice:
        """The steps with the least harm for a number of bytes, searched from these proportions of steps.

        One step for all channels is among the candidates, so the result is never worse than that.
        """
        rate = self.rates[len(self.rates) // 2]
        steps = self._scaled(np.array(start, float), budget, rate)
        tried = [steps]
        for _ in range(rounds):
            steps = self._scaled(steps * np.exp(self._moves(steps, rate, done)), budget, rate)
            tried.append(steps)
        tried.append(self._scaled(np.ones(len(steps)), budget, rate))
        best = min((self._judged(each, rate) for each in tried), key=lambda choice: choice.harm)
        others = (self._judged(self._scaled(np.array(best.steps, float), budget, r), r) for r in self.rates)
        return min((best, *others), key=lambda choice: choice.harm)

    def uniform(self, budget: float) -> Choice:
        """One step for all channels and plain rounding, for comparison."""
        plain = min(self.rates, key=lambda rate: rate.threshold)
        return self._judged(self._scaled(np.ones(len(self.weights)), budget, plain), plain)

    def judge(self, choice: Choice) -> Choice:
        """The same choice, with its bytes and harm on this search's images."""
        rate = next(rate for rate in self.rates if rate.threshold == choice.threshold)
        return self._judged(np.array(choice.steps, float), rate)

    def _judged(self, steps: Row, rate: Rate) -> Choice:
        whole = np.round(steps)
        harm = self.harm(whole, rate.threshold)
        return Choice(tuple(int(s) for s in whole), rate.threshold, self._bytes(whole, rate), harm)

    def _moves(self, steps: Row, rate: Rate, done: Callable[[], None]) -> Row:
        """How far each log s should move, up to a constant for all."""
        each = [self._layer_harm(layer, steps, rate.threshold) for layer in self._layers]
        base = sum(each)
        harm, saved = np.empty(len(steps)), np.empty(len(steps))
        for channel in range(len(steps)):
            wider = steps.copy()
            wider[channel] *= WIDER
            # The low network does not read high channels, so its harm stays the same.
            read = (layer.high or channel < self.low for layer in self._layers)
            harms = [
                self._layer_harm(layer, wider, rate.threshold) if reads else same
                for layer, reads, same in zip(self._layers, read, each, strict=True)
            ]
            harm[channel] = sum(harms) - base
            saved[channel] = self._bytes(steps, rate) - self._bytes(wider, rate)
            done()
        # A channel that seems to do no harm, or to save nothing, makes the longest move.
        ratio = np.log(np.maximum(saved, 1e-3) / np.maximum(harm, max(1e-3 * base, TINY)))
        return np.clip(PACE * (ratio - _weighted_median(ratio, saved)), -LONGEST_MOVE, LONGEST_MOVE)

    def _scaled(self, steps: Row, budget: float, rate: Rate) -> Row:
        """The same proportions, scaled by bisection to the budget."""
        least, most = np.log(LEAST / steps.max()), np.log(MOST / steps.min())
        for _ in range(40):
            middle = (least + most) / 2
            too_many = self._bytes(_within(steps * np.exp(middle)), rate) > budget
            least, most = (middle, most) if too_many else (least, middle)
        return _within(steps * np.exp(most))

    def _bytes(self, steps: Row, rate: Rate) -> float:
        total = 0.0
        for layer in self._layers:
            below, here = layer.factors
            sizes = rate(steps * here) - (rate(steps * below) if layer.refines else 0)
            total += layer.share * float((sizes * self.weights)[layer.coded].sum())
        return total

    def harm(self, steps: Row, threshold: float) -> float:
        """D of these steps, in nats per image."""
        return sum(self._layer_harm(layer, steps, threshold) for layer in self._layers)

    def _layer_harm(self, layer: "_Layer", steps: Row, threshold: float) -> float:
        """KL after a layer over the images that request it, in nats per image of all."""
        answer = self._high if layer.high else self._low
        parts = zip(_dequantised(layer.values, steps, threshold, layer.factors[1]), layer.exact, strict=True)
        return sum(_divergence(exact, answer(x)) for x, exact in parts) / len(self._values)

    @torch.inference_mode()
    def _low(self, x: Tensor) -> Tensor:
        with autocast(x.device):
            logits, _ = self.model.low(x[:, : self.low].contiguous(memory_format=torch.channels_last))
        return logits.float()

    @torch.inference_mode()
    def _high(self, x: Tensor) -> Tensor:
        low, high = x.contiguous(memory_format=torch.channels_last).tensor_split([self.low], dim=1)
        with autocast(x.device):
            logits = self.model.high(self.model.state(low), high)
        return logits.float()


class _Layer(NamedTuple):
    """A layer of the ladder.

    Attributes:
        coded: the channels that its payload codes.
        refines: whether coarser values of these channels are known already.
        factors: the factors of all channels before and after the layer, float64[2, C].
        share: fraction of the images for which the layer is requested.
        values: coefficients float32[N, C, h, w] of these images.
        high: whether the high network answers after the layer, and not the low one.
        exact: the network's logits for batches of exact values.
    """

    coded: slice
    refines: bool
    factors: Row
    share: float
    values: Tensor
    high: bool
    exact: list[Tensor]


def _dequantised(values: Tensor, steps: Row, threshold: float, factors: Row) -> Iterator[Tensor]:
    """Batches of coefficients as a decoder restores them."""
    column, nested = (torch.from_numpy(row).float()[None, :, None, None] for row in (steps, factors))
    quantiser = Quantiser(column, torch.tensor([[[[threshold]]]]), nested)
    return (quantiser(x) for x in values.split(BATCH))


def _weighted_median(values: Row, weights: Row) -> float:
    """The median of `values` with these weights."""
    order = np.argsort(values)
    passed = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(passed, passed[-1] / 2)])


def _within(steps: Row) -> Row:
    return np.clip(steps, LEAST, MOST)


def _divergence(exact: Tensor, found: Tensor) -> float:
    """KL summed over images, in nats."""
    exact, found = exact.log_softmax(1), found.log_softmax(1)
    return float(functional.kl_div(found, exact, log_target=True, reduction="sum"))
