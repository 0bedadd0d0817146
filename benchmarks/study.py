"""The results of a sweep, put together: rounds of a point pooled, rivals beside us, best policies found."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.links import PROFILES
from benchmarks.plan import Plan, Point
from benchmarks.rival import Rival
from benchmarks.runs import ABOUT, TIMELINE, Book, Result

FIXED_POLICIES = ("on_demand", "ahead", "at_once")
# A fleet is beyond the knee when its 95th percentile is above so many times that of the smallest fleet.
KNEE = 2.0


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
    """How the policies did on a link: mean milliseconds and bytes up a picture of each.

    The mean, because most pictures stop at low under every policy: medians would only compare those.
    """

    link: str
    latency: dict[str, float]
    up: dict[str, float]

    @property
    def best(self) -> str:
        """The fixed policy with the smallest mean latency."""
        return min((name for name in self.latency if name in FIXED_POLICIES), key=self.latency.__getitem__)

    @property
    def auto_to_best(self) -> float:
        """The latency of auto over that of the best."""
        return self.latency["auto"] / self.latency[self.best]

    @property
    def auto_bytes_to_best(self) -> float:
        """The bytes of auto over those of the best."""
        return self.up["auto"] / self.up[self.best]


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
        self.timelines = book.lines(TIMELINE)
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
        """Overtone (auto, else the first policy measured) and every upload on a link, by title."""
        ours = self.one("links", link=link, kind="session", policy="auto", operating_point="") or self.one(
            "links", link=link, kind="session"
        )
        found = [("Overtone", ours)] if ours else []
        uploads = sorted(self.of("links", link=link, kind="upload"), key=lambda pool: pool.mean("payload"))
        return found + [(self.title(pool.point.rival), pool) for pool in uploads]

    def title(self, rival: str) -> str:
        """Of a rival, for people."""
        if rival == self.plan.equal:
            return f"{Rival.parse(rival).name}, equal accuracy"
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
                latency = {name: pool.mean("latency_ms") for name, pool in pools.items()}
                found.append(Verdict(link, latency, {name: pool.mean("up") for name, pool in pools.items()}))
        return found

    def fleets(self) -> list[Pool]:
        """The grid `devices`, smallest fleet first."""
        return sorted(self.of("devices", kind="session"), key=lambda pool: pool.point.devices)

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
