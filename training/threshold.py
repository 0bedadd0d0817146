"""Thresholds that keep a promise, from held-out pictures: a picture whose score reaches it is answered early.

Scores are float64[n] of any scale, the same for all pictures to come; a threshold above every score (`NEVER`)
answers nothing early. Nothing here knows where scores come from, so the promises hold for any.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Above any confidence: no low answer is final.
NEVER = float(np.nextafter(1.0, 2.0))
# The confidences that are tried, from `NEVER` down; fixed, so that no picture has a say in it.
GRID = np.append(NEVER, np.arange(1000, -1, -1) / 1000)


def risk_controlled_threshold(
    confidence: Floats, low_right: Bools, high_right: Bools, alpha: float, never: float = NEVER
) -> float:
    """The least threshold whose early answers cost at most `alpha` of accuracy in expectation.

    Conformal risk control (Angelopoulos et al. 2022, theorem 1) with the loss
    l(t) = 1[confidence >= t] * high right * (1 - low right), which falls as t grows. With fewer than
    1 / alpha - 1 pictures it is `never`.
    """
    n = len(confidence)
    allowed = alpha * (n + 1) - 1
    if allowed < 0:
        return never
    order = np.argsort(-confidence, kind="stable")
    losses = np.cumsum((high_right & ~low_right)[order])
    ranked = confidence[order]
    too_many = np.flatnonzero(losses > allowed)
    if not too_many.size:
        return min(0.0, float(ranked[-1])) if n else never
    # Everything from the first picture too many on must stay below the threshold, ties included.
    return float(np.nextafter(ranked[too_many[0]], np.inf))


def clopper_pearson_upper(k: NDArray[np.integer], n: int, delta: float) -> Floats:
    """The largest probability that k of n do not speak against at level `delta` (one-sided), float64 as k."""
    upper: Floats = np.where(k < n, beta.ppf(1 - delta, k + 1, np.maximum(n - k, 1)), 1.0)
    return upper


def high_probability_threshold(
    confidence: Floats, lost: Bools, alpha: float, delta: float, grid: Floats = GRID
) -> float:
    """The least threshold of a fixed grid at which early answers cost at most `alpha`, but for `delta`.

    The grid is walked down while the upper bound on the risk stays within `alpha`, and left at the first
    value where it does not (fixed-sequence testing, as in Learn then Test, Angelopoulos et al. 2021).
    The risk falls as t grows, so the walk passes into forbidden ground at one value, and there the bound is
    wrong with probability `delta` at most. The first value of the grid must answer nothing early. With fewer
    than log(delta) / log(1 - alpha) pictures it is returned.
    """
    n = len(confidence)
    if not n:
        return float(grid[0])
    k, places = np.unique(lost_at(confidence, lost, grid), return_inverse=True)
    kept = (clopper_pearson_upper(k, n, delta) <= alpha)[places]
    kept[0] = True
    return float(grid[np.argmin(kept) - 1] if not kept.all() else grid[-1])


def lost_at(confidence: Floats, lost: Bools, thresholds: Floats) -> NDArray[np.int64]:
    """How many pictures are lost at each threshold, int64 as `thresholds`."""
    ranked = np.sort(confidence[lost])
    return len(ranked) - np.searchsorted(ranked, thresholds, side="left")


def share_threshold(confidence: Floats, share: float, never: float = NEVER) -> float:
    """The threshold s_(k), k = floor(share * (n + 1)), under which at most `share` of new pictures fall.

    By exchangeability a new score is below the k-th smallest of n with probability k / (n + 1), less where
    scores tie; so the share asked for is at most `share` in expectation, and above share - 1 / (n + 1) where
    they do not. It says nothing of accuracy.
    """
    n = len(confidence)
    # Not to lose one to rounding: 0.29 * 100 is 28.999999999999996.
    k = int(np.floor(share * (n + 1) + 1e-9))
    if k <= 0:
        return min(0.0, float(confidence.min())) if n else 0.0
    return float(np.sort(confidence)[k - 1]) if k <= n else never


def bytes_threshold(
    confidence: Floats,
    low_bytes: NDArray[np.int64],
    high_bytes: NDArray[np.int64],
    most: float,
    never: float = NEVER,
) -> float:
    """The greatest threshold at which a picture takes at most `most` bytes in expectation.

    Conformal risk control again, with the bytes as the loss, which grow with t and are bounded by the largest
    picture of the n. A promise only while none to come is larger.

    Raises:
        ValueError: low alone takes more.
    """
    n, largest = len(confidence), float((low_bytes + high_bytes).max())
    least = (float(low_bytes.sum()) + largest) / (n + 1)
    if least > most:
        raise ValueError(f"low alone takes {least:.0f} bytes a picture: allow that many at least")
    order = np.argsort(confidence, kind="stable")
    ranked = confidence[order]
    # spent[i]: bytes a picture when the i + 1 least sure are asked for high.
    spent = (low_bytes.sum() + np.cumsum(high_bytes[order]) + largest) / (n + 1)
    too_much = np.flatnonzero(spent > most)
    # The first that cannot be asked for answers early, and so does all that ties with it.
    return float(ranked[too_much[0]]) if too_much.size else never
