"""Which ways to send a picture are worth trying on all pictures: those far behind on the first are dropped.

All start on a few pictures. Between rounds a way is dropped if another of its codec takes no more bytes,
counted whole and bare, and is right more often than chance makes likely; or if it is of no interest to the
comparison, because it is surely less accurate than all that is compared, or too dear for a thin link.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from overtone.benchmarks.curve.contest import Contest, Outcome
from overtone.benchmarks.curve.rivals import Way

# Pictures that all, and those that are left, have seen after each round; the last is on all there are.
ROUNDS = (60, 180, 450)
# Standard errors of the mean difference, picture by picture. Who leaves wrongly is hardly missed: the other
# takes no more bytes, and is then nearly as good.
SURE = 1.5
# Mean bytes that nobody spends on a thin link.
MOST_BYTES = 4500.0
# Of top-1, below the best of a codec that never reaches what is compared.
NEAR = 0.05

Outcomes = dict[Way, Outcome]


def race(contest: Contest, ways: Sequence[Way], floor: float) -> Outcomes:
    """The ways that stay to the end, on all pictures; `floor` is the top-1 from which they are compared."""
    n = len(contest.sending.pictures)
    found: Outcomes = {}
    for begin, end in pairwise([0, *(count for count in ROUNDS if count < n), n]):
        left = survivors(found, floor) if found else list(ways)
        more = contest.run(left, f"choosing among {len(left)} ways", begin, end)
        found = {way: Outcome.join([found[way], more[way]]) if begin else more[way] for way in left}
    return found


def survivors(found: Mapping[Way, Outcome], floor: float) -> list[Way]:
    """The ways that are not surely beaten by another of their codec, nor surely below what is compared."""
    kept = []
    for codec in dict.fromkeys(way.codec for way in found):
        own = {way: outcome for way, outcome in found.items() if way.codec == codec}
        least = relevant(floor, [outcome.top1 for outcome in own.values()])
        kept += [way for way, outcome in own.items() if not _hopeless(outcome, least, own.values())]
    return kept


def relevant(floor: float, top1: Sequence[float]) -> float:
    """`floor`, or less if a codec does not reach it."""
    return min(floor, max(top1) - NEAR)


def _hopeless(outcome: Outcome, least: float, others: Iterable[Outcome]) -> bool:
    dear = bool(outcome.bytes.mean() > MOST_BYTES)
    return dear or _surely(least - outcome.right) or _beaten(outcome, others)


def _beaten(outcome: Outcome, others: Iterable[Outcome]) -> bool:
    return any(_no_dearer(o, outcome) and _surely(o.right.astype(float) - outcome.right) for o in others)


def _no_dearer(one: Outcome, other: Outcome) -> bool:
    return bool(one.bytes.mean() <= other.bytes.mean() and one.bare.mean() <= other.bare.mean())


def _surely(difference: NDArray[np.floating]) -> bool:
    """Whether a mean is above zero by more than chance."""
    error = difference.std() / np.sqrt(len(difference))
    return bool(difference.mean() > SURE * error)
