"""The settings of Overtone and of the baselines that are reported, chosen on calibration pictures alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

from overtone.benchmarks.curve.baselines import Setting
from overtone.benchmarks.curve.delta_rate import Point, frontier, thinned
from overtone.benchmarks.curve.successive_elimination import R, S, best_of_each, eliminate
from overtone.benchmarks.detect.ours import CascadeEvaluation, CascadeWay, ways
from overtone.benchmarks.detect.rivals import Pair, RivalEvaluation, pairs, settings
from overtone.frequency import Profile

# In AP50: baselines are reported from BELOW under Overtone's lowest to ABOVE over its highest; the coarse picture of a
# pair may be as low as FIRST_BELOW under Overtone's lowest.
BELOW, ABOVE, FIRST_BELOW = 0.05, 0.01, 0.15
# Baselines that take more than this many times the bytes of Overtone's largest setting are not tried further.
LARGEST = 3.0


@dataclass(frozen=True)
class Chosen:
    """Overtone's settings on the frontiers.

    Attributes:
        compared: those on the frontier of all kinds together, whose ratios to the baselines are reported.
        drawn: those on the frontier of their own kind.
        lowest, highest: AP50 of the cheapest and of the dearest of `compared`, fractions.
        largest: mean bytes of the dearest.
    """

    compared: list[CascadeWay]
    drawn: list[CascadeWay]
    lowest: float
    highest: float
    largest: float


def choose_ours(evaluation: CascadeEvaluation, profile: Profile, fast: bool = False) -> Chosen:
    """Try all of Overtone's settings; find the frontier of all of them, and that of each kind."""
    tried = eliminate(evaluation, ways(profile, fast), 0.0, inf)
    points = curve(tried)
    compared = [point.settings["setting"] for point in points]
    drawn = best_of_each(tried, 0.0, inf)
    return Chosen(compared, drawn, points[0].accuracy, points[-1].accuracy, points[-1].bytes)


def choose_rivals(
    evaluation: RivalEvaluation, ours: Chosen, size: int, fast: bool = False
) -> list[Setting | Pair]:
    """The frontier of each codec's settings, and that of pairs made of the codecs' common frontier."""
    floor, ceiling, most = ours.lowest - BELOW, ours.highest + ABOVE, LARGEST * ours.largest
    whole: list[Setting | Pair] = [*settings(size, fast)]
    tried = eliminate(evaluation, whole, ours.lowest - FIRST_BELOW, most)
    singles = [s for p in curve(tried) if isinstance(s := p.settings["setting"], Setting)]
    twice: list[Setting | Pair] = [*pairs(singles)]
    again = eliminate(evaluation, twice, floor, most) if twice else {}
    return best_of_each(tried | again, floor, ceiling)


def curve(tried: Mapping[S, R]) -> list[Point]:
    """The frontier of all settings together, thinned; each point holds its setting as `settings["setting"]`."""
    points = (
        Point(float(result.bytes.mean()), result.accuracy, {"setting": setting})
        for setting, result in tried.items()
    )
    return thinned(frontier(points))
