"""When to send the high payload, as arithmetic: no transport, no clock.

For one image, in seconds: d is the link's round trip; l and h are the times it takes to carry low and high; c and
c' are the server's times for the low and the high network. p is the share of images for which low is not enough.

    plan        low is enough (1 - p)    low is not enough (p)               wasted on high (1 - p)
    on_demand   d + l + c                (d + l + c) + (d + h + c')          nothing
    ahead       d + l + c                d + l + max(c, h) + c'              min(h, d + c)
    at_once     d + l + c                d + l + max(c, h) + c'              h

`ahead` stops when the answer comes, d + c after the last byte of low was sent. What `at_once` has not carried by
then, max(0, h - d - c), delays the next image. Where low is not enough, both save s = d + min(c, h). They save less
where several images are in flight and delay each other by w seconds, because then the link is not idle during a
round trip: s = max(0, d + min(c, h) - w).

Bytes that were not needed have a price, the time that the link spends on them. The gain of sending high unasked is
what that is expected to save, less what it is expected to waste:

    g = p * s - (1 - p) * wasted

`auto` sends high unasked where a gain is expected, and also where the gains of earlier images cover the expected
loss: it prefers the earlier answer as long as, in fact and in total, no more is wasted than saved. So high is sent
unasked over a fast link, where d is nearly everything; over a slow link with a short round trip it is asked for; in
between, short payloads pay for long ones. Where `auto` sends high unasked, it chooses `at_once` if all of high will
be gone before any answer can come, h <= d + c: there would be nothing left to stop, and chunks would only cost
headers. Otherwise it chooses `ahead`.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any, Literal, get_args

from overtone.edge_client.errors import UsageError
from overtone.edge_client.link_estimator import LinkEstimator
from overtone.edge_client.stage import Stage

Policy = Literal["auto", "on_demand", "ahead", "at_once"]
Plan = Literal["on_demand", "ahead", "at_once"]

# The share of images that low answers, where no card gives it, and how many images the share counts for: a few
# images outvote the guess, a card takes more.
USUAL_EXIT_SHARE, USUAL_WEIGHT = 0.7, 4.0
CARD_WEIGHT = 20.0
# The number of images after which older ones begin to count for less.
MEMORY = 200.0
# The gains that may be saved up, counted in images: few, so that one link of a moving device does not pay for the
# next.
MAX_GAINED = 2
# The number of images of which the server's time for low and the queue on the link are known.
RECENT = 16


@dataclass(frozen=True)
class Observation:
    """What the device has measured of one image.

    Attributes:
        plan: what was done.
        high: the size of its high payload.
        sent: the bytes of high that were handed to the transport.
        low_end: the offset at which low ends in what was sent over the link.
        high_end: the offset at which the part of high that was sent ends.
        first: the time of the server's first reply, which is a request for high or the answer.
        last: the time of the answer.
        server: the seconds of queue and compute in the answer, of both networks if both ran.
        stage: the stage of the answer.
        unsent: the bytes of high that were still to be sent when the server asked for them; None if it did not ask.
        queued: the bytes that were queued on the link in front of low.
    """

    plan: Plan
    high: int
    sent: int
    low_end: int
    high_end: int
    first: float
    last: float
    server: float
    stage: Stage
    unsent: int | None = None
    queued: float = 0.0

    @property
    def escalated(self) -> bool:
        """Whether low was not enough."""
        return self.unsent is not None or self.stage == "high"

    @property
    def wasted(self) -> int:
        """Bytes of high that were sent and not needed, without the framing of their messages."""
        return 0 if self.escalated else self.sent


@dataclass(frozen=True)
class Costs:
    """What an image is expected to cost; the letters are those of the module's docstring.

    Attributes:
        high: h, the seconds to carry high.
        round_trip: d, in seconds.
        compute: c, in seconds.
        share: p.
        queue: w, in seconds.
        can_stop: whether high can be stopped midway; otherwise `ahead` is no choice.
    """

    high: float
    round_trip: float
    compute: float
    share: float
    queue: float = 0.0
    can_stop: bool = True

    @property
    def gain(self) -> float:
        """g: what sending high unasked saves, less what it wastes, in seconds."""
        wasted = min(self.high, self._wait) if self.can_stop else self.high
        return self.share * self.saved - (1 - self.share) * wasted

    @property
    def saved(self) -> float:
        """s: the seconds that sending high unasked saves if low is not enough."""
        return max(0.0, self.round_trip + min(self.compute, self.high) - self.queue)

    def best(self, gained: float = 0.0) -> Plan:
        """The plan of the least expected time that does not waste more than it saves.

        The seconds `gained`, which earlier images saved beyond what they wasted, may pay for this one.
        """
        # The budget may go negative by one image's saving; that does not count as overspending.
        if max(self.gain, self.gain + gained + self.saved) <= 0:
            return "on_demand"
        return "ahead" if self.can_stop and self.high > self._wait else "at_once"

    @property
    def _wait(self) -> float:
        return self.round_trip + self.compute


class PlanSelector:
    """Selects the plan for each image, and learns the link and the model from what it observes.

    Args:
        policy: a plan for every image, or `auto`.
        exit_share: the share of images that low answers, as the model's card gives it.
        can_stop: whether high can be stopped midway. Where it cannot (REST: a request is sent as a whole, and
            cutting it off would cost its connection), `ahead` is `on_demand`.
        link: the link's estimator; a new one if not given.

    Raises:
        UsageError: there is no such policy.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        exit_share: float | None = None,
        can_stop: bool = True,
        link: LinkEstimator | None = None,
    ) -> None:
        if policy not in get_args(Policy):
            raise UsageError(f"no policy {policy!r}: choose from {', '.join(get_args(Policy))}")
        self._policy = policy
        self._can_stop = can_stop
        self.link = link or LinkEstimator()
        self._low_seconds: deque[float] = deque(maxlen=RECENT)
        self._queued: deque[float] = deque(maxlen=RECENT)
        self._images = self._escalated = self._gained = 0.0
        self.expect(exit_share)

    def expect(self, exit_share: float | None) -> None:
        """Start from the share of images that low answers, as a card gives it; None where there is no card."""
        weight = USUAL_WEIGHT if exit_share is None else CARD_WEIGHT
        share = USUAL_EXIT_SHARE if exit_share is None else exit_share
        self._images, self._escalated = weight, weight * (1 - share)

    @property
    def rate(self) -> float | None:
        """Bytes per second that the link carries towards the server; None as long as it is unknown."""
        return self.link.rate

    @property
    def answer_seconds(self) -> float:
        """d + c: from the last byte of low to the answer; 0.0 as long as it is unknown."""
        return self.link.round_trip + self._compute

    @property
    def share(self) -> float:
        """p: the share of images for which low is not enough."""
        return self._escalated / self._images

    def plan(self, low: int, high: int) -> Plan:
        """The plan for an image whose payloads have these sizes, in bytes."""
        if self._policy == "auto":
            rate = self.rate
            if rate is None:  # only `on_demand` measures the link in both phases
                return "on_demand"
            return self._costs(high / rate).best(self._gained)
        return self._policy if self._can_stop or self._policy != "ahead" else "on_demand"

    def observe(self, seen: Observation) -> None:
        """Learn from an image that was answered."""
        self._queued.append(seen.queued)
        self._account(seen)
        if seen.escalated or seen.stage != "brownout":  # a brownout does not tell whether low was enough
            self._count(seen.escalated)
        if seen.stage == "low":
            self._low_seconds.append(seen.server)
        compute = self._compute
        second = max(0.0, seen.server - compute)
        asked = seen.unsent is not None
        if asked or seen.stage != "high":
            low_seconds = compute if asked else seen.server
            self.link.replied(seen.low_end, seen.first - low_seconds)
        elif self._link_is_slower(compute, seen.high):
            self.link.replied(seen.high_end, seen.last - second)
        if seen.unsent:
            self.link.replied(seen.high_end, seen.last - second)

    @property
    def _compute(self) -> float:
        return median(self._low_seconds) if self._low_seconds else 0.0

    def _costs(self, high: float) -> Costs:
        queue = fmean(self._queued) / self.link.assumed_rate if self._queued else 0.0
        return Costs(high, self.link.round_trip, self._compute, self.share, queue, self._can_stop)

    def _account(self, seen: Observation) -> None:
        """Add to the budget what sending high unasked saved, or take from it what that wasted."""
        rate = self.rate
        if rate is None or seen.plan == "on_demand":
            return
        most = self._costs(seen.high / rate).saved
        # If the server had to ask, only what had been sent by then was earlier.
        saved = most if seen.unsent is None else min(most, (seen.high - seen.unsent) / rate)
        gain = saved if seen.escalated else -seen.wasted / rate
        self._gained = min(self._gained + gain, MAX_GAINED * most)

    def _count(self, escalated: bool) -> None:
        fade = min(1.0, MEMORY / (self._images + 1))
        self._images = fade * (self._images + 1)
        self._escalated = fade * (self._escalated + escalated)

    def _link_is_slower(self, compute: float, high: int) -> bool:
        """Whether high takes longer to arrive than low to compute, so that the answer waited for the link."""
        rate = self.rate
        return rate is None or high / rate >= compute


def exit_share(card: Mapping[str, Any], operating_point: str = "") -> float | None:
    """The share of images that low answers, as a card gives it to devices; None if it does not.

    The card holds operating points of the default quality only; at another quality the share is much the same. An
    empty name stands for the card's default operating point.
    """
    name = operating_point or card.get("operating_point")
    shares = [
        point.get("exit_share") for point in card.get("operating_points", ()) if point.get("name") == name
    ]
    return next((share for share in shares if isinstance(share, float) and 0 <= share <= 1), None)
