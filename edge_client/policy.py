"""When to send the high payload, as arithmetic: no transport, no clock.

For one image let, in seconds, d be the link's round trip, l and h the time it takes to carry low and high, c
and c' the server's time for the low and the high network; and p the share of images low is not enough for.

    plan        low suffices (1 - p)    low does not (p)                      high sent for nothing (1 - p)
    on_demand   d + l + c               (d + l + c) + (d + h + c')            nothing
    ahead       d + l + c               d + l + max(c, h) + c'                min(h, d + c)
    at_once     d + l + c               d + l + max(c, h) + c'                h

`ahead` stops when the answer comes, d + c after the last byte of low went out. What `at_once` has then not
yet carried, max(0, h - d - c), keeps the next image waiting. Both save s = d + min(c, h) where low does not
suffice; less where several images are in flight and keep each other waiting for w seconds, because then the
link is not idle while one of them makes its round trip: s = max(0, d + min(c, h) - w).

Sending more than it saves: bytes sent for nothing have a price, the time the link needs for them. The gain
of sending high unasked is what that saves beyond what it wastes, both as expected beforehand:

    g = p * s - (1 - p) * wasted

`auto` sends high unasked where there is a gain to expect, and also where what was gained before pays for the
loss: an answer that comes sooner is preferred as long as no more is wasted than saved, in fact and in total.
So over a fast link, where d is nearly all, high goes unasked; over a slow one with a short round trip it is
asked for; in between the short payloads pay for the long ones. Of the two that go unasked `auto` takes
`at_once` if all of high is gone before any answer can come, h <= d + c: nothing could be stopped any more,
and chunks would only cost headers. Otherwise it takes `ahead`.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any, Literal, get_args

from overtone.edge_client.errors import UsageError
from overtone.edge_client.link import Link
from overtone.edge_client.stage import Stage

Policy = Literal["auto", "on_demand", "ahead", "at_once"]
Plan = Literal["on_demand", "ahead", "at_once"]

# Where no card tells how many images low answers, a few pictures outvote the guess; a card's word takes more.
USUAL_EXIT_SHARE, USUAL_WEIGHT = 0.7, 4.0
CARD_WEIGHT = 20.0
# Images after which older ones begin to count less.
MEMORY = 200.0
# Images whose saving may be kept: few, lest one link of a moving device pay for the next.
MOST_GAINED = 2
# Images by which the server's time for low, and the queue on the link, are known.
SHORT = 16


@dataclass(frozen=True)
class Observation:
    """How one image went, as its device can measure it.

    Attributes:
        plan: what was done.
        high: size of its high payload.
        sent: bytes of high that were handed to the transport.
        low_end: where low ends in what was handed to the link.
        high_end: where what was sent of high ends there.
        first: time of the server's first word, its wish for high or the answer; seconds of the link's clock.
        last: time of the answer.
        server: seconds of queue and compute that the answer carries, of both networks if both ran.
        stage: of the answer.
        left: bytes of high still here when the server asked for them; None if it did not ask.
        waiting: bytes that stood before low on the link.
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
    left: int | None = None
    waiting: float = 0.0

    @property
    def escalated(self) -> bool:
        """Whether low was not enough."""
        return self.left is not None or self.stage == "high"

    @property
    def wasted(self) -> int:
        """Bytes of high sent for nothing, without the framing of its messages."""
        return 0 if self.escalated else self.sent


@dataclass(frozen=True)
class Costs:
    """What an image is expected to cost; seconds, but for the share.

    Attributes:
        high: h, to carry high.
        round_trip: d.
        compute: c.
        share: p.
        queue: w.
        can_stop: whether high can be stopped midway; else only asking and `at_once` are left.
    """

    high: float
    round_trip: float
    compute: float
    share: float
    queue: float = 0.0
    can_stop: bool = True

    @property
    def gain(self) -> float:
        """g: what sending high unasked saves beyond what it wastes."""
        wasted = min(self.high, self._wait) if self.can_stop else self.high
        return self.share * self.saved - (1 - self.share) * wasted

    @property
    def saved(self) -> float:
        """s: if low does not suffice."""
        return max(0.0, self.round_trip + min(self.compute, self.high) - self.queue)

    def best(self, gained: float = 0.0) -> Plan:
        """The plan of least expected time that does not send more than it saves.

        Args:
            gained: seconds that images before saved beyond what they wasted; they may pay for this one.
        """
        # Between two images that pay the account is down by what one of them pays: that is no loss yet.
        if max(self.gain, self.gain + gained + self.saved) <= 0:
            return "on_demand"
        return "ahead" if self.can_stop and self.high > self._wait else "at_once"

    @property
    def _wait(self) -> float:
        return self.round_trip + self.compute


class Chooser:
    """Which plan for the next image; learns the link and the model from what it is told.

    Args:
        policy: a plan for every image, or `auto`.
        exit_share: the share of images that low answers, as the model's card has it.
        can_stop: whether high can be stopped midway. Without that (REST) `ahead` is `on_demand`: a request is
            whole or nothing, and one cut off would cost its connection.

    Raises:
        UsageError: no such policy.
    """

    def __init__(self, policy: Policy, *, exit_share: float | None = None, can_stop: bool = True) -> None:
        if policy not in get_args(Policy):
            raise UsageError(f"no policy {policy!r}: choose from {', '.join(get_args(Policy))}")
        self._policy = policy
        self._can_stop = can_stop
        self.link = Link()
        self._low_seconds: deque[float] = deque(maxlen=SHORT)
        self._waiting: deque[float] = deque(maxlen=SHORT)
        self._images = self._escalated = self._gained = 0.0
        self.expect(exit_share)

    def expect(self, exit_share: float | None) -> None:
        """Begin with the share of images that low answers as a card has it; None where there is no card."""
        weight = USUAL_WEIGHT if exit_share is None else CARD_WEIGHT
        self._images, self._escalated = (
            weight,
            weight * (1 - (USUAL_EXIT_SHARE if exit_share is None else exit_share)),
        )

    @property
    def rate(self) -> float | None:
        """Bytes per second that the link carries towards the server; None as long as nobody can tell."""
        return self.link.rate

    @property
    def answer_seconds(self) -> float:
        """d + c: from the last byte of low to the answer; 0.0 as long as nobody can tell."""
        return self.link.round_trip + self._compute

    @property
    def share(self) -> float:
        """p: the share of images for which low is not enough."""
        return self._escalated / self._images

    def plan(self, low: int, high: int) -> Plan:
        """What to do with an image of payloads this long, in bytes."""
        if self._policy == "auto":
            rate = self.rate
            if rate is None:  # only what is asked for measures both ways of the link
                return "on_demand"
            return self._costs(high / rate).best(self._gained)
        return self._policy if self._can_stop or self._policy != "ahead" else "on_demand"

    def observe(self, outcome: Observation) -> None:
        """Learn from an answer."""
        self._waiting.append(outcome.waiting)
        self._account(outcome)
        if (
            outcome.escalated or outcome.stage != "brownout"
        ):  # a busy server does not say what it makes of low
            self._count(outcome.escalated)
        if outcome.stage == "low":
            self._low_seconds.append(outcome.server)
        compute = self._compute
        second = max(0.0, outcome.server - compute)
        asked = outcome.left is not None
        if asked or outcome.stage != "high":
            low_seconds = compute if asked else outcome.server
            self.link.replied(outcome.low_end, outcome.first - low_seconds)
        elif self._hides(compute, outcome.high):
            self.link.replied(outcome.high_end, outcome.last - second)
        if outcome.left:
            self.link.replied(outcome.high_end, outcome.last - second)

    @property
    def _compute(self) -> float:
        return median(self._low_seconds) if self._low_seconds else 0.0

    def _costs(self, high: float) -> Costs:
        queue = fmean(self._waiting) / self.link.assumed if self._waiting else 0.0
        return Costs(high, self.link.round_trip, self._compute, self.share, queue, self._can_stop)

    def _account(self, outcome: Observation) -> None:
        """Book what sending unasked saved or wasted."""
        rate = self.rate
        if rate is None or outcome.plan == "on_demand":
            return
        most = self._costs(outcome.high / rate).saved
        # Asked for in the middle, only what had gone by then was sooner.
        saved = most if outcome.left is None else min(most, (outcome.high - outcome.left) / rate)
        gain = saved if outcome.escalated else -outcome.wasted / rate
        self._gained = min(self._gained + gain, MOST_GAINED * most)

    def _count(self, escalated: bool) -> None:
        fade = min(1.0, MEMORY / (self._images + 1))
        self._images = fade * (self._images + 1)
        self._escalated = fade * (self._escalated + escalated)

    def _hides(self, compute: float, high: int) -> bool:
        """Whether low is computed before high is there, so that the link and not the server sets the pace."""
        rate = self.rate
        return rate is None or high / rate >= compute


def exit_share(card: Mapping[str, Any], operating_point: str = "") -> float | None:
    """The share of images that low answers, by a card as a device gets it; None if it does not tell.

    Such a card has operating points of the default quality only; another quality's share is much the same.

    Args:
        card: parsed JSON.
        operating_point: by name; empty is the card's default.
    """
    name = operating_point or card.get("operating_point")
    shares = [
        point.get("exit_share") for point in card.get("operating_points", ()) if point.get("name") == name
    ]
    return next((share for share in shares if isinstance(share, float) and 0 <= share <= 1), None)
