"""Search for the steps and the dead zone that change a cascade's answers least for their bytes.

For a given number of bytes per image, the steps s of all channels should minimise

    D(s) = KL(low exact || low rounded) + p KL(high exact || high rounded)

while R(s) = R_low + p R_high is that number of bytes. p is the share of images for which high is requested.
The second term is measured on those images alone: they are the ones that low is least confident of, and
rounding harms them more than others. "Exact" means computed from coefficients that are not rounded.

At the optimum, saving a byte does the same harm in every channel (Shoham and Gersho, "Efficient bit allocation
for an arbitrary set of quantizers", IEEE Trans. ASSP 1988). So the search widens the step of one channel at a
time, measures d = dD / d log s and r = -dR / d log s, moves each log s by a fraction of log(r / d), and scales
all steps to restore R.

D is measured rather than derived. Rounding to few levels is not a small error, and both a straight-through
gradient and the Fisher information ranked channels so badly that one step for all was better.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from overtone.models import Cascade
from overtone.training.codec.rate import Rate, Row
from overtone.training.systems import autocast

LEAST, MOST = 6.0, 1536.0
WIDER = 1.5
ROUNDS = 3
PACE = 0.5
LONGEST_MOVE = 0.35  # of log s
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
        share: p above.
    """

    def __init__(
        self,
        model: Cascade,
        values: NDArray[np.float32],
        rates: Sequence[Rate],
        weights: Row,
        share: float,
    ) -> None:
        self.model, self.rates, self.weights, self.share = model, rates, weights, share
        self.low = model.architecture.low_channels
        self._values = torch.from_numpy(values)
        self._low_exact = [self._low(x) for x in self._values.split(BATCH)]
        self._asking = self._values[self._least_sure()]
        self._high_exact = [self._high(x) for x in self._asking.split(BATCH)]

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
        low, base = self._low_harm(steps, rate.threshold), self.harm(steps, rate.threshold)
        harm, saved = np.empty(len(steps)), np.empty(len(steps))
        for channel in range(len(steps)):
            wider = steps.copy()
            wider[channel] *= WIDER
            # The low network does not read high channels, so its harm stays the same.
            lower = self._low_harm(wider, rate.threshold) if channel < self.low else low
            harm[channel] = lower + self._high_harm(wider, rate.threshold) - base
            saved[channel] = self._bytes(steps, rate) - self._bytes(wider, rate)
            done()
        # A channel that seems to do no harm, or to save nothing, makes the longest move.
        ratio = np.log(np.maximum(saved, 1e-3) / np.maximum(harm, max(1e-3 * base, TINY)))
        return np.clip(PACE * (ratio - _middle(ratio, saved)), -LONGEST_MOVE, LONGEST_MOVE)

    def _scaled(self, steps: Row, budget: float, rate: Rate) -> Row:
        """The same proportions, scaled by bisection to the budget."""
        least, most = np.log(LEAST / steps.max()), np.log(MOST / steps.min())
        for _ in range(40):
            middle = (least + most) / 2
            too_many = self._bytes(_within(steps * np.exp(middle)), rate) > budget
            least, most = (middle, most) if too_many else (least, middle)
        return _within(steps * np.exp(most))

    def _bytes(self, steps: Row, rate: Rate) -> float:
        return float((rate(steps) * self.weights).sum())

    def harm(self, steps: Row, threshold: float) -> float:
        """D of these steps, in nats per image."""
        return self._low_harm(steps, threshold) + self._high_harm(steps, threshold)

    def _low_harm(self, steps: Row, threshold: float) -> float:
        """KL of the low network, in nats per image."""
        parts = zip(_rounded(self._values, steps, threshold), self._low_exact, strict=True)
        return sum(_divergence(exact, self._low(x)) for x, exact in parts) / len(self._values)

    def _high_harm(self, steps: Row, threshold: float) -> float:
        """KL of the high network over the images that need it, in nats per image of all."""
        parts = zip(_rounded(self._asking, steps, threshold), self._high_exact, strict=True)
        return sum(_divergence(exact, self._high(x)) for x, exact in parts) / len(self._values)

    def _least_sure(self) -> Tensor:
        """Indices of the images for which high is requested."""
        confidence = torch.cat(self._low_exact).softmax(1).amax(1)
        return confidence.argsort()[: round(self.share * len(confidence))]

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


def _rounded(values: Tensor, steps: Row, threshold: float) -> Iterator[Tensor]:
    """Batches of coefficients as a decoder restores them."""
    column = torch.from_numpy(steps).float()[:, None, None]
    for x in values.split(BATCH):
        scaled = x / column
        yield torch.copysign(torch.floor(scaled.abs() + (1 - threshold)), scaled) * column


def _middle(values: Row, weights: Row) -> float:
    """The weighted median, on which channels without bytes have no influence."""
    order = np.argsort(values)
    passed = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(passed, passed[-1] / 2)])


def _within(steps: Row) -> Row:
    return np.clip(steps, LEAST, MOST)


def _divergence(exact: Tensor, found: Tensor) -> float:
    """KL summed over images, in nats."""
    exact, found = exact.log_softmax(1), found.log_softmax(1)
    return float(functional.kl_div(found, exact, log_target=True, reduction="sum"))
