"""Choosing settings by successive elimination: those that are clearly worse on some images are dropped early.

All settings start on a few images. Between rounds a setting is dropped if another of its codec takes no more
bytes and is significantly more accurate; or if it is irrelevant to the comparison, because it is significantly
less accurate than everything compared, or takes too many bytes for a thin link.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from overtone.benchmarks.curve.baselines import Setting
from overtone.benchmarks.curve.evaluation import Evaluation, Outcome

# Images that the remaining settings have seen after each round; the last round is on all there are.
ROUNDS = (60, 180, 450)
# Standard errors of the mean difference, image by image. A wrong elimination costs little: the other setting
# takes no more bytes and is then nearly as accurate.
SIGNIFICANT = 1.5
# Mean bytes above which a setting is of no interest on a thin link.
MOST_BYTES = 4500.0
# Of top-1: how far below its best a codec that never reaches the floor is followed.
NEAR = 0.05


def eliminate(evaluation: Evaluation, settings: Sequence[Setting], floor: float) -> dict[Setting, Outcome]:
    """The settings that remain, on all images; `floor` is the top-1 from which they are compared."""
    n = len(evaluation.images)
    found: dict[Setting, Outcome] = {}
    for begin, end in pairwise([0, *(count for count in ROUNDS if count < n), n]):
        left = survivors(found, floor) if found else list(settings)
        more = evaluation.run(left, f"choosing among {len(left)} settings", begin, end)
        found = {s: Outcome.join([found[s], more[s]]) if begin else more[s] for s in left}
    return found


def survivors(found: Mapping[Setting, Outcome], floor: float) -> list[Setting]:
    """The settings that are neither beaten by another of their codec nor irrelevant."""
    kept = []
    for setting, outcome in found.items():
        rivals = [other for key, other in found.items() if key.codec == setting.codec]
        least = relevant(floor, [other.top1 for other in rivals])
        beaten = any(
            other.bytes.mean() <= outcome.bytes.mean()
            and _is_positive(other.correct.astype(float) - outcome.correct)
            for other in rivals
        )
        if not (beaten or outcome.bytes.mean() > MOST_BYTES or _is_positive(least - outcome.correct)):
            kept.append(setting)
    return kept


def relevant(floor: float, top1: Sequence[float]) -> float:
    """`floor`, or less if a codec does not reach it."""
    return min(floor, max(top1) - NEAR)


def _is_positive(difference: NDArray[np.floating]) -> bool:
    """Whether a mean is significantly above zero."""
    error = difference.std() / np.sqrt(len(difference))
    return bool(difference.mean() > SIGNIFICANT * error)
