"""Thresholds and rules with a guarantee, from held-out images.

A confidence is float64 in [0, 1], one per image; how it was computed does not matter for the guarantees. A cascade
of two layers has one threshold, and every one of them is a candidate. For more layers the candidates are rules in a
fixed order, from one that never answers early to one that always does, each of which takes no more layers of any
image than the one before. They must not depend on the images that the guarantee is computed from.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr
from scipy.stats import beta, binom

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# A threshold above any confidence: no low answer is final.
NEVER = float(np.nextafter(1.0, 2.0))
# The thresholds that are tried, from `NEVER` downwards; fixed, so that they do not depend on the images.
GRID = np.append(NEVER, np.arange(1000, -1, -1) / 1000)


def risk_controlled_threshold(confidence: Floats, lost: Bools, alpha: float) -> float:
    """The smallest threshold whose early answers lose at most `alpha` of accuracy in expectation.

    Conformal risk control (Angelopoulos et al. 2022, theorem 1) with the loss
    l(t) = 1[confidence >= t] * lost, which falls as t grows. With fewer than 1 / alpha - 1 images it is
    `NEVER`.
    """
    n = len(confidence)
    allowed = alpha * (n + 1) - 1
    if allowed < 0:
        return NEVER
    order = np.argsort(-confidence, kind="stable")
    too_many = np.flatnonzero(np.cumsum(lost[order]) > allowed)
    if not too_many.size:
        return 0.0 if n else NEVER
    # The first image too many must stay below the threshold, and so must its ties.
    return float(np.nextafter(confidence[order][too_many[0]], np.inf))


def clopper_pearson_upper(k: NDArray[np.integer], n: int, delta: float) -> Floats:
    """The largest probability that k of n does not reject at level `delta` (one-sided), float64 shaped as k."""
    upper: Floats = np.where(k < n, beta.ppf(1 - delta, k + 1, np.maximum(n - k, 1)), 1.0)
    return upper


def high_probability_threshold(
    confidence: Floats, lost: Bools, alpha: float, delta: float, grid: Floats = GRID
) -> float:
    """The smallest threshold of a fixed grid whose early answers lose at most `alpha`, except for `delta`.

    The grid is walked down while the upper bound on the risk stays within `alpha`, up to the first value where
    it does not (fixed-sequence testing, as in Learn then Test, Angelopoulos et al. 2021). The risk falls as t
    grows, so it first exceeds `alpha` at one value of the grid, where the bound is wrong with probability
    `delta` at most. The first value of the grid must answer nothing early; it is returned if there are fewer
    than log(delta) / log(1 - alpha) images.
    """
    n = len(confidence)
    if not n:
        return float(grid[0])
    k, places = np.unique(lost_at(confidence, lost, grid), return_inverse=True)
    within = (clopper_pearson_upper(k, n, delta) <= alpha)[places]
    within[0] = True
    return float(grid[np.argmin(within) - 1] if not within.all() else grid[-1])


def lost_at(confidence: Floats, lost: Bools, thresholds: Floats) -> NDArray[np.int64]:
    """The number of images that are lost at each threshold, int64 shaped as `thresholds`."""
    ranked = np.sort(confidence[lost])
    return len(ranked) - np.searchsorted(ranked, thresholds, side="left")


def share_threshold(confidence: Floats, share: float) -> float:
    """The threshold s_(k), k = floor(share * (n + 1)), below which at most `share` of new images fall.

    By exchangeability, a new confidence is below the k-th smallest of n with probability k / (n + 1), or less
    if there are ties. So the share is at most `share` in expectation, and without ties above
    share - 1 / (n + 1). This guarantees nothing about accuracy.
    """
    n = len(confidence)
    # Added against rounding: 0.29 * 100 is 28.999999999999996.
    k = int(np.floor(share * (n + 1) + 1e-9))
    if k <= 0:
        return 0.0
    return float(np.sort(confidence)[k - 1]) if k <= n else NEVER


def bytes_threshold(
    confidence: Floats, low_bytes: NDArray[np.int64], high_bytes: NDArray[np.int64], most: float
) -> float:
    """The largest threshold at which the mean payload is at most `most` bytes in expectation.

    Conformal risk control with bytes as the loss, which grow with t and are bounded by the largest image of the
    n. The guarantee holds only if no new image is larger than that.

    Raises:
        ValueError: low alone takes more.
    """
    n, largest = len(confidence), float((low_bytes + high_bytes).max())
    least = (float(low_bytes.sum()) + largest) / (n + 1)
    if least > most:
        raise ValueError(f"low alone takes {least:.0f} bytes per image: allow at least that many")
    order = np.argsort(confidence, kind="stable")
    # spent[i]: bytes per image if high is requested for the i + 1 least confident ones.
    spent = (low_bytes.sum() + np.cumsum(high_bytes[order]) + largest) / (n + 1)
    too_much = np.flatnonzero(spent > most)
    # The first image that cannot be asked for is answered early, and so are its ties.
    return float(confidence[order][too_much[0]]) if too_much.size else NEVER


def risk_controlled_index(lost: Bools | Floats, alpha: float) -> int:
    """The index of the last of m rules whose early answers lose at most `alpha` of accuracy in expectation.

    `lost` is bool[m, n], or losses from 0 to 1; the first rule loses nothing. Answering after fewer layers may save
    an image that a later layer would lose, so the loss of an image need not grow along the rules, as conformal risk
    control (Angelopoulos et al. 2022, theorem 1) requires. Its running maximum does, and bounds it: what holds of
    the maximum holds of the loss.
    """
    worst = np.maximum.accumulate(lost, axis=0).sum(axis=1)
    within = worst <= alpha * (lost.shape[1] + 1) - 1
    return int(within.sum()) - 1 if within[0] else 0


def high_probability_index(lost: Bools, alpha: float, delta: float) -> int:
    """The index of the last of m rules, tested in order, that lose at most `alpha` except with probability `delta`.

    Fixed-sequence testing (Learn then Test, Angelopoulos et al. 2021): a rule is tested only if all before it were
    found within `alpha`, so the first that is not within it is accepted with probability `delta` at most. This
    holds whether or not the risk grows along the rules.
    """
    within = clopper_pearson_upper(lost.sum(axis=1), lost.shape[1], delta) <= alpha
    within[0] = True
    return len(within) - 1 if within.all() else int(np.argmin(within)) - 1


def bounded_loss_index(losses: Floats, alpha: float, delta: float) -> int:
    """As `high_probability_index`, for losses float64[m, n] of any value from 0 to 1."""
    within = hoeffding_bentkus(losses.sum(axis=1), losses.shape[1], alpha) <= delta
    within[0] = True
    return len(within) - 1 if within.all() else int(np.argmin(within)) - 1


def hoeffding_bentkus(totals: Floats, n: int, alpha: float) -> Floats:
    """p-values float64[m]: how probable sums of n losses as small as `totals` are if the mean is above `alpha`.

    The losses are from 0 to 1. This is the smaller one of Hoeffding's and Bentkus's bounds (Bates et al. 2021,
    "Distribution-free, risk-controlling prediction sets", section 3.1).
    """
    if not n:
        return np.ones_like(totals)
    low = np.minimum(totals / n, alpha)
    divergence = rel_entr(low, alpha) + rel_entr(1 - low, 1 - alpha)
    # Added against rounding: a sum of thirds may be slightly above an integer.
    tails = np.e * binom.cdf(np.ceil(totals - 1e-9), n, alpha)
    bound: Floats = np.minimum(np.exp(-n * divergence), tails)
    return bound


def first_index_within(costs: NDArray[np.number] | Bools, largest: float, most: float) -> int | None:
    """The index of the first of m rules whose mean cost is at most `most` in expectation; None if there is none.

    Conformal risk control with costs [m, n] that fall along the rules and do not exceed `largest`.
    """
    within = (costs.sum(axis=1) + largest) / (costs.shape[1] + 1) <= most + 1e-9
    return int(np.argmax(within)) if within.any() else None
