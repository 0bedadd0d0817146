"""What a sweep comes to, in numbers and in sentences: the headline, and the policies judged."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from overtone.benchmarks.link.profiles import PROFILES
from overtone.benchmarks.sweep import ink
from overtone.benchmarks.sweep.study import ASKED, EQUAL, OURS, Pool, Study, Verdict

# What the headline is about; where they were not measured, the slowest two links that were.
HEADLINE_LINKS = ("lte-m", "3g")
# The shares of a rival's median latency that Overtone is meant to take: of JPEG's, and at equal accuracy.
GOALS = {("lte-m", "JPEG"): 0.35, ("lte-m", EQUAL): 0.6}
# Auto is near the best policy within this share of its mean latency.
NEAR = 0.05


@dataclass(frozen=True)
class Against:
    """Overtone over one rival on one link; latencies are milliseconds.

    Attributes:
        link: where.
        title: of the rival.
        rival: a name for it in a sentence.
        p50, p95, bytes: ours over theirs, bytes up the link.
        theirs_p50, theirs_p95, theirs_bytes: theirs alone.
        least: a round trip and our server's time over their median: no payload at all could have less.
        goal: what `p50` is meant to be at most, if anything was said.
    """

    link: str
    title: str
    p50: float
    p95: float
    bytes: float
    theirs_p50: float
    theirs_p95: float
    theirs_bytes: float
    least: float
    goal: float | None

    @property
    def verdict(self) -> str:
        """How the goal was met, empty where there is none."""
        if self.goal is None:
            return ""
        if self.p50 <= self.goal:
            return f"Goal {self.goal:g} of the time: reached."
        so = ", so no payload is small enough" if self.least > self.goal else ""
        return (
            f"Goal {self.goal:g} of the time: missed. Round trip and server alone take {self.least:.2f}{so}."
        )


@dataclass(frozen=True)
class Taken:
    """Median and 95th percentile of latency in milliseconds, and mean bytes up."""

    p50: float
    p95: float
    bytes: float

    @classmethod
    def of(cls, pool: Pool) -> Self:
        """Of a pool."""
        return cls(pool.latency(50), pool.latency(95), pool.mean("up"))


@dataclass(frozen=True)
class Headline:
    """A link: what we take there, what we would on demand if that was measured, and ourselves over rivals."""

    link: str
    ours: Taken
    asked: Taken | None
    against: tuple[Against, ...]


def headlines(study: Study) -> list[Headline]:
    """Of the links it is about, those on which both sides were measured."""
    chosen = [link for link in HEADLINE_LINKS if link in study.links] or study.links[:2]
    return [found for link in chosen if (found := headline(study, link))]


def headline(study: Study, link: str) -> Headline | None:
    """Us against the dearest JPEG and, if measured, the rival of equal accuracy; None without either side."""
    contenders = dict(study.contenders(link))
    ours = contenders.pop(OURS, None)
    if ours is None:
        return None
    jpegs = [title for title in contenders if title.startswith("JPEG") and EQUAL not in title]
    titles = [max(jpegs, key=lambda title: contenders[title].mean("payload"))] if jpegs else []
    titles += [title for title in contenders if EQUAL in title]
    against = tuple(_against(link, ours, title, contenders[title]) for title in titles)
    asked = Taken.of(contenders[ASKED]) if ASKED in contenders else None
    return Headline(link, Taken.of(ours), asked, against) if against else None


def _against(link: str, ours: Pool, title: str, theirs: Pool) -> Against:
    server = float(np.median(ours.column("queue_ms") + ours.column("compute_ms")))
    return Against(
        link=link,
        title=title,
        p50=ours.latency(50) / theirs.latency(50),
        p95=ours.latency(95) / theirs.latency(95),
        bytes=ours.mean("up") / theirs.mean("up"),
        theirs_p50=theirs.latency(50),
        theirs_p95=theirs.latency(95),
        theirs_bytes=theirs.mean("up"),
        least=(1e3 * PROFILES[link].rtt + server) / theirs.latency(50),
        goal=GOALS.get((link, EQUAL if EQUAL in title else title.split()[0])),
    )


def met(verdict: Verdict) -> bool:
    """Whether auto is near the best policy, and does not send more than it saves."""
    return verdict.auto_to(verdict.best) <= 1 + NEAR and verdict.pays("auto")


def judgement(verdict: Verdict) -> str:
    """A link's verdict on auto, in a few sentences."""
    name, best, fastest = ink.link_name(verdict.link), verdict.best, verdict.fastest
    words = f"{name}: auto answers in {verdict.latency['auto']:,.0f} ms on average, "
    if best == fastest:
        words += f"{_off(verdict, best)} the best, {best} ({verdict.latency[best]:,.0f} ms)"
    else:
        words += (
            f"{_off(verdict, fastest)} the fastest, {fastest} ({verdict.latency[fastest]:,.0f} ms); but that "
            f"spends {verdict.vain[fastest]:,.0f} ms of link a picture in vain to save "
            f"{verdict.saved(fastest):,.0f} ms. Of those that save more than they spend the best is {best} "
            f"({verdict.latency[best]:,.0f} ms), and auto is {_off(verdict, best)} it"
        )
    spent, saved = verdict.vain["auto"], verdict.saved("auto")
    if "on_demand" not in verdict.latency:
        return words + "."
    if spent < 0.5:
        return words + ". It sends nothing in vain."
    gain = f"saves {saved:,.0f} ms" if saved >= 0 else f"loses {-saved:,.0f} ms"
    return words + f". It spends {spent:,.0f} ms of link a picture in vain and {gain}."


def _off(verdict: Verdict, name: str) -> str:
    off = verdict.auto_to(name) - 1
    return f"{abs(off):.1%} {'behind' if off >= 0 else 'ahead of'}"


def summing_up(verdicts: list[Verdict]) -> str:
    """All links in one sentence."""
    good = [ink.link_name(verdict.link) for verdict in verdicts if met(verdict)]
    bad = [ink.link_name(verdict.link) for verdict in verdicts if not met(verdict)]
    if not bad:
        return f"Auto is within {NEAR:.0%} of the best on every link, without sending more than it saves."
    kept = f"; it is on {_listed(good)}" if good else ""
    return (
        f"Auto should be within {NEAR:.0%} of the best on every link, without sending more than it saves. "
        f"It is not on {_listed(bad)}{kept}."
    )


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
