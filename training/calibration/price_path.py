"""The path of stopping rules that are optimal at falling prices of an error, from "never early" to "always early".

A cascade stops where going on costs more than it saves. With a price in bytes per error, c_l the calibrated
confidence after layer l of L, b_l the bytes of layer l and R those of a further round, an image costs from there on

    V_L = price * (1 - c_L)
    V_l = min( price * (1 - c_l),                           the answer is final
               R + b_(l+1) + V_(l+1),                       the next layer is requested
               R + b_(l+1) + ... + b_L + V_L )              all further layers are requested at once

The rules must be thresholds on c_l, because a server knows no more. So the smallest mean cost over all thresholds on
c_l is sought, layer by layer, from the last to the first (backward induction: Bellman 1957; for cascades,
Trapeznikov and Saligrama, "Supervised sequential classification under budget constraints", AISTATS 2013). Costs are
expected ones, 1 - c instead of counted errors, which vary much more.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from overtone.training.calibration.thresholds import NEVER
from overtone.training.evaluation.predictions import Predictions
from overtone.training.evaluation.stopping import Bools, Floats, Rule, judged_layers

# Bytes per error, falling. Above the first hardly anything is answered early, below the last nearly everything.
PRICES: Final = np.geomspace(1e7, 10, 121)
# What a request for further layers costs besides their payload: 50 bytes up and 51 down (docs/bytes.md).
ROUND_BYTES: Final = 101.0
# No threshold moves further than this from one rule of a path to the next.
APART: Final = 0.004
# How the first thresholds approach 1, as shares of the way to those of the highest price.
APPROACH: Final = np.geomspace(1e-4, 1, 33)[:-1]


@dataclass(frozen=True)
class PricePath:
    """Rules in a fixed order, of which each takes no more layers of any image than the one before.

    The first never answers early, the last always does.

    Attributes:
        thresholds: float64[m, layers - 1] of m rules.
        all_below: float64[m, layers - 1].
    """

    thresholds: Floats
    all_below: Floats

    def __len__(self) -> int:
        return len(self.thresholds)

    def rule(self, index: int) -> Rule:
        """The rule with this index on the path."""
        return Rule(tuple(self.thresholds[index].tolist()), tuple(self.all_below[index].tolist()))

    def judged(self, p: Predictions, temperatures: tuple[float, ...]) -> Bools:
        """After which layers images are judged under every rule, bool[layers, m, n]."""
        columns = (values.T[:, :, None] for values in (self.thresholds, self.all_below))
        return judged_layers(p.confidences(temperatures)[:-1], *columns)


def fit_path(p: Predictions, temperatures: tuple[float, ...], round_bytes: float = ROUND_BYTES) -> PricePath:
    """The path of rules that are best at falling prices for some images.

    Thresholds never rise along it, even where the best ones would: then whoever is answered early stays so.
    """
    best = np.minimum.accumulate(_best_rules(p, temperatures, round_bytes), axis=1)
    approach = np.where(best[:, :1] > 1, NEVER, 1 - (1 - best[:, :1]) * APPROACH[:, None])
    ends = np.full_like(best[:, :1], NEVER), np.zeros_like(best[:, :1])
    rules = _dense(np.concatenate([ends[0], approach, best, ends[1]], axis=1))
    return PricePath(*rules)


def _best_rules(p: Predictions, temperatures: tuple[float, ...], round_bytes: float) -> Floats:
    """The best `thresholds` and `all_below` at every price: float64[2, prices, layers - 1]."""
    scores, found = p.confidences(temperatures), np.zeros((2, len(PRICES), p.layers - 1))
    errors = PRICES[:, None] * (1 - scores)[:, None]
    cost = errors[-1]
    for layer in reversed(range(p.layers - 1)):
        step = round_bytes + p.sizes[layer + 1] + cost
        at_once = round_bytes + p.sizes[layer + 1 :].sum(axis=0) + errors[-1]
        all_below = _best_threshold(scores[layer], step - at_once)
        going_on = np.where(scores[layer] < all_below[:, None], at_once, step)
        threshold = _best_threshold(scores[layer], errors[layer] - going_on)
        cost = np.where(scores[layer] < threshold[:, None], going_on, errors[layer])
        found[:, :, layer] = threshold, np.minimum(threshold, all_below)
    return found


def _best_threshold(scores: Floats, saved: Floats) -> Floats:
    """The thresholds float64[m] with the largest total saving of the images below them.

    `scores` are the confidences float64[n], `saved` the saving of each image at each of m prices float64[m, n].
    """
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    sums = np.cumsum(saved[:, order], axis=1)
    none = np.zeros((len(saved), 1))
    best = np.concatenate([none, sums], axis=1).argmax(axis=1)
    found: Floats = np.concatenate([[0.0], ranked[1:], [NEVER]])[best]
    return found


def _dense(rules: Floats) -> Floats:
    """The rules float64[2, m, layers - 1] with others between them, so that no threshold moves by more than `APART`."""
    moves = np.abs(np.diff(rules, axis=1)).max(axis=(0, 2))
    kept = np.append(True, moves > 0)
    places = np.cumsum(np.append(0, np.ceil(moves[kept[1:]] / APART)))
    between = np.arange(places[-1] + 1)
    flat = rules[:, kept].transpose(0, 2, 1).reshape(-1, len(places))
    dense: Floats = np.stack([np.interp(between, places, column) for column in flat])
    return dense.reshape(2, -1, len(between)).transpose(0, 2, 1)
