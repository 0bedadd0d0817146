"""The results of a sweep, put together: rounds of a point pooled, rivals beside us, best policies found."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overtone.benchmarks.link.profiles import PROFILES
from overtone.benchmarks.load.upload import Rival
from overtone.benchmarks.sweep.plan import Plan, Point
from overtone.benchmarks.sweep.runs import ABOUT, TIMELINE, Book, Result

FIXED_POLICIES = ("on_demand", "ahead", "at_once")
# A fleet is beyond the knee when its 95th percentile is above so many times that of the smallest fleet.
KNEE = 2.0
OURS, ASKED, EQUAL = "Overtone", "Overtone, on demand", "equal accuracy"
# Mean latencies nearer than this share say nothing: machines have moods.
NOISE = 0.01


@dataclass(frozen=True)
class Pool:
    """All rounds of a point."""

    point: Point
    results: tuple[Result, ...]

    def column(self, name: str) -> NDArray[np.float64]:
        """A value a picture."""
        return np.concatenate([result.column(name) for result in self.results])

    @property
    def n(self) -> int:
        """Answered pictures."""
        return sum(len(result.columns["stage"]) for result in self.results)

    @property
    def failed(self) -> int:
        """Pictures without an answer."""
        return sum(len(result.errors) for result in self.results)

    def latency(self, percent: float) -> float:
        """A percentile in milliseconds."""
        return float(np.percentile(self.column("latency_ms"), percent))

    def mean(self, name: str) -> float:
        """Of a column."""
        return float(self.column(name).mean())

    @cached_property
    def accuracy(self) -> tuple[float, float, float] | None:
        """Share of right answers, and its 95 % interval (Wilson's); None if no truth is known."""
        known = [right for result in self.results for right in result.columns["right"] if right is not None]
        if not known:
            return None
        n, p, z = len(known), sum(known) / len(known), 1.96
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))) / (1 + z * z / n)
        return p, middle - half, middle + half

    @property
    def exit_share(self) -> float:
        """Share answered without high."""
        stages = [str(stage) for result in self.results for stage in result.columns["stage"]]
        return sum(stage != "high" for stage in stages) / len(stages)

    @property
    def vain(self) -> float:
        """Mean milliseconds a picture that the link spent on high though low was enough."""
        stages = [stage for result in self.results for stage in result.columns["stage"]]
        unneeded = np.array([stage != "high" for stage in stages])
        link = PROFILES[self.point.link]
        return 1e3 * float((self.column("high") * unneeded).mean()) / link.up.bytes

    @property
    def rate(self) -> float:
        """Answers a second, of the whole fleet."""
        seconds: float = sum(result.seconds for result in self.results)
        return self.n / seconds

    @property
    def busy(self) -> float:
        """CPU use of the generator, as a share of a core, at its highest."""
        return max(result.busy for result in self.results)


@dataclass(frozen=True)
class Verdict:
    """How the policies did on a link, by name.

    Means, because most pictures stop at low under every policy: medians would only compare those.

    Attributes:
        link: where.
        latency: mean milliseconds a picture.
        up: mean bytes up the link a picture.
        vain: mean milliseconds a picture that the link spent on high which was not needed.
    """

    link: str
    latency: dict[str, float]
    up: dict[str, float]
    vain: dict[str, float]

    @property
    def fixed(self) -> list[str]:
        """The policies that auto is measured by."""
        return [name for name in FIXED_POLICIES if name in self.latency]

    @property
    def fastest(self) -> str:
        """The fixed policy with the smallest mean latency."""
        return min(self.fixed, key=self.latency.__getitem__)

    @property
    def best(self) -> str:
        """The fastest fixed policy that does not send more than it saves."""
        paying = [name for name in self.fixed if self.pays(name)]
        return min(paying or self.fixed, key=self.latency.__getitem__)

    def saved(self, name: str) -> float:
        """Mean milliseconds a picture sooner than on demand."""
        return self.latency.get("on_demand", self.latency[name]) - self.latency[name]

    def pays(self, name: str) -> bool:
        """Whether a policy saves at least the time that the link spends on what was not needed."""
        slack = NOISE * self.latency[name]
        return name == "on_demand" or self.vain[name] <= self.saved(name) + slack

    def auto_to(self, name: str) -> float:
        """The latency of auto over that of a policy."""
        return self.latency["auto"] / self.latency[name]


class Study:
    """All of a results file that the last plan asked for, by what it shows.

    Raises:
        ValueError: there is nothing in it.
    """

    def __init__(self, book: Book) -> None:
        abouts = book.lines(ABOUT)
        if not abouts:
            raise ValueError(f"{book.path}: no results of a sweep in it")
        self.about: dict[str, Any] = abouts[-1]
        self.plan = Plan.model_validate(self.about["plan"])
        # More than one where it was interrupted; what others did then is in the results of then.
        self.crowd = max(float(about["machine"]["load"]) for about in abouts)
        self.timelines = [line for line in book.lines(TIMELINE) if line["link"] in self.plan.timelines]
        wanted = {run.point for run in self.plan.runs()}
        pooled: dict[tuple[str, Point], list[Result]] = {}
        for result in book.results():
            if result.run.point in wanted and result.columns["stage"]:
                pooled.setdefault((result.run.grid, result.run.point), []).append(result)
        self._pools = {key: Pool(key[1], tuple(results)) for key, results in pooled.items()}

    def of(self, grid: str, **wanted: Any) -> list[Pool]:
        """The pools of a grid whose points have these values."""
        return [
            pool
            for (name, point), pool in self._pools.items()
            if name == grid and all(getattr(point, key) == value for key, value in wanted.items())
        ]

    def one(self, grid: str, **wanted: Any) -> Pool | None:
        """The first of them, if any."""
        return next(iter(self.of(grid, **wanted)), None)

    @property
    def links(self) -> list[str]:
        """Links of the grid `links`, slowest first."""
        names = {pool.point.link for pool in self.of("links")}
        return sorted(names, key=lambda name: PROFILES[name].up.bits)

    def contenders(self, link: str) -> list[tuple[str, Pool]]:
        """By title: Overtone (auto, else the first policy measured), the same on demand, and every upload."""
        mine = self.of("links", link=link, kind="session", operating_point="")
        mine = mine or self.of("links", link=link, kind="session")
        by_policy = {pool.point.policy: pool for pool in reversed(mine)}
        found = [(OURS, by_policy.get("auto", mine[0]))] if mine else []
        if "on_demand" in by_policy and found[0][1] is not by_policy["on_demand"]:
            found.append((ASKED, by_policy["on_demand"]))
        uploads = sorted(self.of("links", link=link, kind="upload"), key=lambda pool: pool.mean("payload"))
        return found + [(self.title(pool.point.rival), pool) for pool in uploads]

    def title(self, rival: str) -> str:
        """Of a rival, for people."""
        if rival == self.plan.equal:
            return f"{Rival.parse(rival).name}, {EQUAL}"
        return Rival.parse(rival).title

    def verdicts(self) -> list[Verdict]:
        """The policies on each link on which auto and at least one other have been measured."""
        found = []
        for link in self.links:
            pools: dict[str, Pool] = {
                pool.point.policy: pool
                for pool in self.of("links", link=link, kind="session", operating_point="")
                if pool.point.policy
            }
            if "auto" in pools and len(pools) > 1:
                latency, up = (
                    {name: pool.mean(column) for name, pool in pools.items()}
                    for column in ("latency_ms", "up")
                )
                vain = {name: pool.vain for name, pool in pools.items()}
                found.append(Verdict(link, latency, up, vain))
        return found

    def fleets(self) -> list[Pool]:
        """The grid `devices`, smallest fleet first."""
        return sorted(self.of("devices", kind="session"), key=lambda pool: pool.point.devices)

    @property
    def results(self) -> list[Result]:
        """All runs that the plan asked for."""
        return [result for pool in self._pools.values() for result in pool.results]

    @property
    def pictures(self) -> int:
        """Answered in all."""
        return sum(pool.n for pool in self._pools.values())

    @property
    def failed(self) -> int:
        """Not answered in all."""
        return sum(pool.failed for pool in self._pools.values())

    @property
    def busiest(self) -> float:
        """CPU use of the generator where it was highest."""
        return max((pool.busy for pool in self._pools.values()), default=0.0)


def knee(fleets: Sequence[Pool]) -> Pool | None:
    """The largest fleet before the first whose 95th percentile is beyond `KNEE`; None if none is."""
    last: Pool | None = None
    for pool in fleets:
        if pool.latency(95) > KNEE * fleets[0].latency(95):
            return last
        last = pool
    return None


def ordered(pools: Iterable[Pool], field: str) -> list[Pool]:
    """By a field of their points."""
    return sorted(pools, key=lambda pool: getattr(pool.point, field))
