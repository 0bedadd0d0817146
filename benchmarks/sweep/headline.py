"""The headline of a sweep: Overtone beside baselines on the links that matter most."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from overtone.benchmarks.sweep.study import EQUAL, ON_DEMAND, OURS, Pool, Study
from overtone.link.profiles import PROFILES

# If these were not measured, the headline has the slowest two links that were.
HEADLINE_LINKS = ("lte-m", "3g")
# The shares of a baseline's median latency that are Overtone's goals: of JPEG's, and at equal accuracy.
GOALS = {("lte-m", "JPEG"): 0.35, ("lte-m", EQUAL): 0.6}


@dataclass(frozen=True)
class Figures:
    """Median and 95th percentile of latency in milliseconds, and mean bytes up."""

    p50: float
    p95: float
    bytes: float

    @classmethod
    def of(cls, pool: Pool) -> Self:
        """The figures of a pool."""
        return cls(pool.latency(50), pool.latency(95), pool.mean("up"))

    def over(self, other: Self) -> "Figures":
        """Ratios of these figures to another's."""
        return Figures(self.p50 / other.p50, self.p95 / other.p95, self.bytes / other.bytes)


@dataclass(frozen=True)
class Against:
    """Overtone against one baseline on one link.

    Attributes:
        title: of the baseline.
        theirs: the baseline's figures.
        ratio: Overtone's over theirs.
        least: a round trip and our server's time over their median: no payload could take less.
        goal: what the ratio of medians should be at most, if there is a goal.
    """

    title: str
    theirs: Figures
    ratio: Figures
    least: float
    goal: float | None

    @property
    def reached(self) -> bool:
        """Whether there is a goal and the ratio of medians keeps to it."""
        return self.goal is not None and self.ratio.p50 <= self.goal


@dataclass(frozen=True)
class Headline:
    """One link: Overtone, the same on demand if that was measured, and Overtone against baselines."""

    link: str
    ours: Figures
    on_demand: Figures | None
    against: tuple[Against, ...]


def headlines(study: Study) -> list[Headline]:
    """The headlines of those links that matter most on which both sides were measured."""
    chosen = [link for link in HEADLINE_LINKS if link in study.links] or study.links[:2]
    return [found for link in chosen if (found := headline(study, link))]


def headline(study: Study, link: str) -> Headline | None:
    """Overtone against the largest JPEG and, if measured, the baseline of equal accuracy; None without either."""
    contenders = dict(study.contenders(link))
    ours = contenders.pop(OURS, None)
    if ours is None:
        return None
    against = tuple(_against(link, ours, title, contenders[title]) for title in rivals(contenders))
    on_demand = Figures.of(contenders[ON_DEMAND]) if ON_DEMAND in contenders else None
    return Headline(link, Figures.of(ours), on_demand, against) if against else None


def rivals(contenders: Mapping[str, Pool]) -> list[str]:
    """The titles of the largest JPEG and, if measured, of the baseline of equal accuracy."""
    jpegs = [title for title in contenders if title.startswith("JPEG") and EQUAL not in title]
    largest = [max(jpegs, key=lambda title: contenders[title].mean("payload"))] if jpegs else []
    return largest + [title for title in contenders if EQUAL in title]


def _against(link: str, ours: Pool, title: str, theirs: Pool) -> Against:
    server = float(np.median(ours.column("queue_ms") + ours.column("compute_ms")))
    figures = Figures.of(theirs)
    return Against(
        title=title,
        theirs=figures,
        ratio=Figures.of(ours).over(figures),
        least=(1e3 * PROFILES[link].rtt + server) / figures.p50,
        goal=GOALS.get((link, EQUAL if EQUAL in title else title.split()[0])),
    )
