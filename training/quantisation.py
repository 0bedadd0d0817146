"""Steps and a dead zone that change what a cascade says least for their bytes.

For a number of bytes a picture, the steps s of all channels should minimise

    D(s) = KL(low exact || low rounded) + p KL(high exact || high rounded)   with   R(s) = R_low + p R_high

held at that number. p is the share of pictures that ask for high, and high is tried on these alone: low is
least sure of them, and rounding harms them more than others. Exact means on coefficients not rounded.
At the best steps a byte less costs the same harm in every channel (Shoham and Gersho,
"Efficient bit allocation for an arbitrary set of quantizers", IEEE Trans. ASSP 1988). So the search widens
the step of one channel at a time, measures d = dD / d log s and r = -dR / d log s, moves each log s by a part
of log(r / d), and brings R back with a factor for all.

D is measured, not derived: rounding to few levels is no small error, and both a straight-through gradient and
the Fisher information were found to rank channels worse than one step for all does.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from overtone.models import Cascade
from overtone.training.rate import Rate, Row
from overtone.training.systems import autocast

LEAST, MOST = 6.0, 1536.0
WIDER = 1.5
ROUNDS = 3
PACE = 0.5
FARTHEST = 0.35  # a move of log s at most
BATCH = 60
TINY = 1e-12


@dataclass(frozen=True)
class Choice:
    """Steps [C] and a rounding threshold; estimated bytes a picture, and the harm D in nats."""

    steps: tuple[int, ...]
    threshold: float
    bytes: float
    harm: float


class Search:
    """Finds steps for one cascade.

    Args:
        model: in eval mode; it is not changed.
        values: coefficients float32[N, C, h, w] of the pictures to choose on, not rounded.
        rates: what channels cost, one for each rounding threshold that may be chosen.
        weights: float64[C], how much a byte that `rates` says of each channel counts.
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
        """The least harm found for a number of bytes, from these proportions of steps on.

        One step for all is among what it chooses from, so it is never worse than that.
        """
        rate = self.rates[len(self.rates) // 2]
        steps = self._held(np.array(start, float), budget, rate)
        tried = [steps]
        for _ in range(rounds):
            steps = self._held(steps * np.exp(self._moves(steps, rate, done)), budget, rate)
            tried.append(steps)
        tried.append(self._held(np.ones(len(steps)), budget, rate))
        best = min((self._judged(each, rate) for each in tried), key=lambda choice: choice.harm)
        others = (self._judged(self._held(np.array(best.steps, float), budget, r), r) for r in self.rates)
        return min((best, *others), key=lambda choice: choice.harm)

    def uniform(self, budget: float) -> Choice:
        """One step for all channels and plain rounding: what a search has to beat."""
        plain = min(self.rates, key=lambda rate: rate.threshold)
        return self._judged(self._held(np.ones(len(self.weights)), budget, plain), plain)

    def judge(self, choice: Choice) -> Choice:
        """The same choice with bytes and harm on this search's pictures."""
        rate = next(rate for rate in self.rates if rate.threshold == choice.threshold)
        return self._judged(np.array(choice.steps, float), rate)

    def _judged(self, steps: Row, rate: Rate) -> Choice:
        whole = np.round(steps)
        harm = self._harm(whole, rate.threshold)
        return Choice(tuple(int(s) for s in whole), rate.threshold, self._bytes(whole, rate), harm)

    def _moves(self, steps: Row, rate: Rate, done: Callable[[], None]) -> Row:
        """How far each log s should go, but for what is the same for all."""
        low, base = self._low_harm(steps, rate.threshold), self._harm(steps, rate.threshold)
        harm, saved = np.empty(len(steps)), np.empty(len(steps))
        for channel in range(len(steps)):
            wider = steps.copy()
            wider[channel] *= WIDER
            # High channels say nothing to the low network, which need not be asked again.
            lower = self._low_harm(wider, rate.threshold) if channel < self.low else low
            harm[channel] = lower + self._high_harm(wider, rate.threshold) - base
            saved[channel] = self._bytes(steps, rate) - self._bytes(wider, rate)
            done()
        # What seems to do no harm, or to save nothing, moves as far as any may.
        ratio = np.log(np.maximum(saved, 1e-3) / np.maximum(harm, max(1e-3 * base, TINY)))
        return np.clip(PACE * (ratio - _middle(ratio, saved)), -FARTHEST, FARTHEST)

    def _held(self, steps: Row, budget: float, rate: Rate) -> Row:
        """The same proportions at the factor that costs so many bytes, by bisection."""
        least, most = np.log(LEAST / steps.max()), np.log(MOST / steps.min())
        for _ in range(40):
            middle = (least + most) / 2
            dear = self._bytes(_within(steps * np.exp(middle)), rate) > budget
            least, most = (middle, most) if dear else (least, middle)
        return _within(steps * np.exp(most))

    def _bytes(self, steps: Row, rate: Rate) -> float:
        return float((rate(steps) * self.weights).sum())

    def _harm(self, steps: Row, threshold: float) -> float:
        return self._low_harm(steps, threshold) + self._high_harm(steps, threshold)

    def _low_harm(self, steps: Row, threshold: float) -> float:
        """KL of the low network a picture, in nats."""
        parts = zip(_rounded(self._values, steps, threshold), self._low_exact, strict=True)
        return sum(_divergence(exact, self._low(x)) for x, exact in parts) / len(self._values)

    def _high_harm(self, steps: Row, threshold: float) -> float:
        """KL of the high network on pictures that ask for it, in nats a picture of all."""
        parts = zip(_rounded(self._asking, steps, threshold), self._high_exact, strict=True)
        return sum(_divergence(exact, self._high(x)) for x, exact in parts) / len(self._values)

    def _least_sure(self) -> Tensor:
        """Indices of the pictures that ask for high."""
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
    """Batches of coefficients as a decoder gets them."""
    column = torch.from_numpy(steps).float()[:, None, None]
    for x in values.split(BATCH):
        scaled = x / column
        yield torch.copysign(torch.floor(scaled.abs() + (1 - threshold)), scaled) * column


def _middle(values: Row, weights: Row) -> float:
    """The weighted median: what costs no bytes does not decide where the middle is."""
    order = np.argsort(values)
    passed = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(passed, passed[-1] / 2)])


def _within(steps: Row) -> Row:
    return np.clip(steps, LEAST, MOST)


def _divergence(exact: Tensor, found: Tensor) -> float:
    """KL summed over pictures, in nats."""
    exact, found = exact.log_softmax(1), found.log_softmax(1)
    return float(functional.kl_div(found, exact, log_target=True, reduction="sum"))
