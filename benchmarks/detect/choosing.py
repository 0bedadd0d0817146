"""Which ways of sending are reported, of Overtone's and of the baselines', chosen on calibration pictures alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

from overtone.benchmarks.curve.baselines import Setting
from overtone.benchmarks.curve.delta_rate import Point, frontier, thinned
from overtone.benchmarks.curve.successive_elimination import R, S, best_of_each, eliminate
from overtone.benchmarks.detect.ours import CascadeEvaluation, CascadeWay, ways
from overtone.benchmarks.detect.rivals import Pair, RivalEvaluation, pairs, settings
from overtone.frequency import Profile

# Of AP50: baselines are of interest from this far below Overtone's lowest to this far above its highest; and what is
# sent first may be worse by so much.
BELOW, ABOVE, FIRST_BELOW = 0.05, 0.01, 0.15
# Of the bytes of Overtone's largest setting: baselines that take more are of no interest.
LARGEST = 3.0


@dataclass(frozen=True)
class Chosen:
    """Overtone's ways that are compared, and all those on the frontier of their kind; AP50 and bytes they reach."""

    compared: list[CascadeWay]
    drawn: list[CascadeWay]
    lowest: float
    highest: float
    largest: float


def choose_ours(evaluation: CascadeEvaluation, profile: Profile, fast: bool = False) -> Chosen:
    """The frontier of all ways, and that of each kind."""
    tried = eliminate(evaluation, ways(profile, fast), 0.0, inf)
    points = curve(tried)
    compared = [point.settings["setting"] for point in points]
    drawn = best_of_each(tried, 0.0, inf)
    return Chosen(compared, drawn, points[0].accuracy, points[-1].accuracy, points[-1].bytes)


def choose_rivals(
    evaluation: RivalEvaluation, ours: Chosen, size: int, fast: bool = False
) -> list[Setting | Pair]:
    """The frontier of each codec, and of pairs that are made of their common frontier."""
    floor, ceiling, most = ours.lowest - BELOW, ours.highest + ABOVE, LARGEST * ours.largest
    whole: list[Setting | Pair] = [*settings(size, fast)]
    tried = eliminate(evaluation, whole, ours.lowest - FIRST_BELOW, most)
    singles = [s for p in curve(tried) if isinstance(s := p.settings["setting"], Setting)]
    twice: list[Setting | Pair] = [*pairs(singles)]
    again = eliminate(evaluation, twice, floor, most) if twice else {}
    return best_of_each(tried | again, floor, ceiling)


def curve(tried: Mapping[S, R]) -> list[Point]:
    """The frontier of all settings together, thinned; each point has its `setting`."""
    points = (
        Point(float(result.bytes.mean()), result.accuracy, {"setting": setting})
        for setting, result in tried.items()
    )
    return thinned(frontier(points))
