"""The results of a sweep, evaluated: rounds of a point pooled, contenders side by side, policies compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overtone.benchmarks.load.baseline import Baseline
from overtone.benchmarks.sweep.plan import Plan, Point
from overtone.benchmarks.sweep.results import ABOUT, TIMELINE, Result, ResultFile
from overtone.edge_client.policy import UNASKED
from overtone.link.profiles import PROFILES

FIXED_POLICIES = ("on_demand", "ahead", "at_once")
# A fleet is beyond the knee when its 95th percentile is above so many times that of the smallest fleet.
KNEE = 2.0
OURS, ON_DEMAND, EQUAL = "Overtone", "Overtone, on demand", "equal accuracy"
# Mean latencies that are closer than this share are considered equal.
NOISE = 0.01
# Auto should be within this share of the best policy's mean latency.
NEAR = 0.05
# The client's limit on unasked bytes holds over many images; so much more is allowed in a sample of some dozens.
SAMPLE = 0.02


@dataclass(frozen=True)
class Pool:
    """All rounds of a point."""

    point: Point
    results: tuple[Result, ...]

    def column(self, name: str) -> NDArray[np.float64]:
        """A number per image."""
        return np.concatenate([result.column(name) for result in self.results])

    def values(self, name: str) -> list[Any]:
        """A value per image."""
        return [value for result in self.results for value in result.columns[name]]

    def has(self, name: str) -> bool:
        """Whether there is such a column in every round; older logs lack some."""
        return all(name in result.columns for result in self.results)

    @property
    def n(self) -> int:
        """Answered images."""
        return len(self.values("stage"))

    @property
    def failed(self) -> int:
        """Images without an answer."""
        return sum(len(result.errors) for result in self.results)

    def latency(self, percent: float) -> float:
        """A percentile in milliseconds."""
        return float(np.percentile(self.column("latency_ms"), percent))

    def mean(self, name: str) -> float:
        """The mean of a column."""
        return float(self.column(name).mean())

    @cached_property
    def accuracy(self) -> tuple[float, float, float] | None:
        """Share of correct answers, and its 95 % interval (Wilson's); None if no truth is known."""
        known = [correct for correct in self.values("correct") if correct is not None]
        if not known:
            return None
        n, p, z = len(known), sum(known) / len(known), 1.96
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))) / (1 + z * z / n)
        return p, middle - half, middle + half

    @property
    def exit_share(self) -> float:
        """Share answered from the first layer."""
        return float(np.mean([layers < 2 for layers in self.values("layers")]))

    @property
    def wasted(self) -> float:
        """Mean milliseconds per image that the link spent on layers that the answer is not made of."""
        link = PROFILES[self.point.link]
        sent = zip(self.values("by_layer"), self.values("layers"), strict=True)
        return 1e3 * float(np.mean([sum(sizes[layers:]) for sizes, layers in sent])) / link.up.bytes

    @property
    def unused(self) -> float:
        """Share of the payload bytes in layers that the answers are not made of."""
        sent = zip(self.values("by_layer"), self.values("layers"), strict=True)
        return sum(sum(sizes[layers:]) for sizes, layers in sent) / float(self.column("payload").sum())

    @property
    def rate(self) -> float:
        """Answers per second, of the whole fleet."""
        seconds: float = sum(result.seconds for result in self.results)
        return self.n / seconds

    @property
    def busy(self) -> float:
        """CPU use of the generator, as a share of a core, at its highest."""
        return max(result.busy for result in self.results)


@dataclass(frozen=True)
class PolicyComparison:
    """The policies on one link, by name.

    Means, because most images stop at the first layer under every policy: medians would compare only those.

    Attributes:
        link: the profile's name.
        latency: mean milliseconds per image.
        up: mean bytes up the link per image.
        wasted: mean milliseconds per image that the link spent on layers that were not needed.
        unused: share of the payload bytes in layers that were not needed.
    """

    link: str
    latency: dict[str, float]
    up: dict[str, float]
    wasted: dict[str, float]
    unused: dict[str, float]

    @property
    def fixed(self) -> list[str]:
        """The policies that auto is compared with."""
        return [name for name in FIXED_POLICIES if name in self.latency]

    @property
    def fastest(self) -> str:
        """The fixed policy with the smallest mean latency."""
        return min(self.fixed, key=self.latency.__getitem__)

    @property
    def best(self) -> str:
        """The fastest fixed policy that keeps to the rules of `pays`."""
        paying = [name for name in self.fixed if self.pays(name)]
        return min(paying or self.fixed, key=self.latency.__getitem__)

    def saved(self, name: str) -> float:
        """Mean milliseconds per image less than on demand."""
        return self.latency.get("on_demand", self.latency[name]) - self.latency[name]

    def pays(self, name: str) -> bool:
        """Whether a policy saves as much time as the link wastes, and keeps to the client's limit on unasked bytes."""
        slack = NOISE * self.latency[name]
        saves = self.wasted[name] <= self.saved(name) + slack
        return name == "on_demand" or (saves and self.unused[name] <= UNASKED + SAMPLE)

    def auto_to(self, name: str) -> float:
        """The latency of auto over that of a policy."""
        return self.latency["auto"] / self.latency[name]

    @property
    def met(self) -> bool:
        """Whether auto is near the best policy, and keeps to the same rules."""
        return self.auto_to(self.best) <= 1 + NEAR and self.pays("auto")


class Study:
    """Everything in a results file that the last plan asked for.

    Raises:
        ValueError: the file has no results.
    """

    def __init__(self, file: ResultFile) -> None:
        abouts = file.lines(ABOUT)
        if not abouts:
            raise ValueError(f"{file.path}: no results of a sweep in it")
        self.about: dict[str, Any] = abouts[-1]
        self.plan = Plan.model_validate(self.about["plan"])
        # There are several if the sweep was interrupted, each with the load of other programs at its time.
        self.load = max(float(about["machine"]["load"]) for about in abouts)
        self.timelines = [line for line in file.lines(TIMELINE) if line["link"] in self.plan.timelines]
        wanted = {run.point for run in self.plan.runs()}
        pooled: dict[tuple[str, Point], list[Result]] = {}
        for result in file.results():
            if result.run.point in wanted and result.columns["stage"]:
                pooled.setdefault((result.run.grid, result.run.point), []).append(result)
        self.pools = {key: Pool(key[1], tuple(results)) for key, results in pooled.items()}

    def of(self, grid: str, **wanted: Any) -> list[Pool]:
        """The pools of a grid whose points have these values."""
        return [
            pool
            for (name, point), pool in self.pools.items()
            if name == grid and all(getattr(point, key) == value for key, value in wanted.items())
        ]

    @property
    def links(self) -> list[str]:
        """Links of the grid `links`, slowest first."""
        return self.links_of("links")

    def links_of(self, grid: str) -> list[str]:
        """Links of a grid, slowest first."""
        names = {pool.point.link for pool in self.of(grid)}
        return sorted(names, key=lambda name: PROFILES[name].up.bits)

    def contenders(self, link: str, grid: str = "links") -> list[tuple[str, Pool]]:
        """By title: Overtone (auto, else the first policy measured), the same on demand, and every upload."""
        mine = self.of(grid, link=link, kind="session", operating_point="")
        mine = mine or self.of(grid, link=link, kind="session")
        by_policy = {pool.point.policy: pool for pool in reversed(mine)}
        found = [(OURS, by_policy.get("auto", mine[0]))] if mine else []
        if "on_demand" in by_policy and found[0][1] is not by_policy["on_demand"]:
            found.append((ON_DEMAND, by_policy["on_demand"]))
        uploads = sorted(self.of(grid, link=link, kind="upload"), key=lambda pool: pool.mean("payload"))
        return found + [(self._title(pool.point.baseline), pool) for pool in uploads]

    def _title(self, name: str) -> str:
        baseline = Baseline.parse(name)
        return f"{baseline.name}, {EQUAL}" if name == self.plan.equal else baseline.title

    def policies(self) -> list[PolicyComparison]:
        """The policies on each link on which auto and at least one other have been measured."""
        found = []
        for link in self.links:
            pools = {
                str(pool.point.policy): pool
                for pool in self.of("links", link=link, kind="session", operating_point="")
                if pool.point.policy
            }
            if "auto" in pools and len(pools) > 1:
                latency, up = (
                    {name: pool.mean(column) for name, pool in pools.items()}
                    for column in ("latency_ms", "up")
                )
                wasted = {name: pool.wasted for name, pool in pools.items()}
                unused = {name: pool.unused for name, pool in pools.items()}
                found.append(PolicyComparison(link, latency, up, wasted, unused))
        return found

    def fleets(self) -> list[Pool]:
        """The grid `devices`, smallest fleet first."""
        return sorted(self.of("devices", kind="session"), key=lambda pool: pool.point.devices)

    @property
    def images(self) -> int:
        """Answered in all."""
        return sum(pool.n for pool in self.pools.values())

    @property
    def failed(self) -> int:
        """Not answered in all."""
        return sum(pool.failed for pool in self.pools.values())

    @property
    def busiest(self) -> float:
        """CPU use of the generator where it was highest."""
        return max((pool.busy for pool in self.pools.values()), default=0.0)


def knee(fleets: Sequence[Pool]) -> Pool | None:
    """The largest fleet before the first whose 95th percentile is beyond `KNEE`; None if none is."""
    last: Pool | None = None
    for pool in fleets:
        if pool.latency(95) > KNEE * fleets[0].latency(95):
            return last
        last = pool
    return None
