"""The choice of the layers that are sent without being asked for, as arithmetic: no transport, no clock.

An image has n layers of s_1, ..., s_n bytes, and needs the first j of them. Only the server finds out, which judges an
image after each layer in turn, even where more have come. p_i is the probability that an image needs more than i
layers; p_0 = 1 and p_n = 0, so it needs j with probability p_(j-1) - p_j. In seconds: d is the link's round trip,
t_i = s_i / rate the time to carry layer i, T_i = t_1 + ... + t_i, and c the server's time for one judgement. A plan
sends layers 1 to k in the first message, and lets those up to m >= k follow unasked; over REST, m = k, as nothing can
follow a request. On an idle link the server has judged layer i at

    E_i = T_k + i * c                 for i <= k
    E_i = max(E_(i-1), T_i) + c       for k < i <= m

and its reply is there a round trip later. Each further layer is asked for, which takes another round trip:

    seconds(j) = d + E_j                                                 for j <= m
    seconds(j) = d + E_m + sum over m < i <= j of (d - w + t_i + c)      for j > m

w, at most d, is for how long other images in flight keep the link busy meanwhile: then a round trip of this image
is no idle time, and asking costs less. When the answer comes, layers that were not needed have taken, in bytes,

    wasted(j) = T_m - T_j                       if layers up to m are promised, or m = k
    wasted(j) = min(T_m, E_j + d) - T_j         if they flow until the answer comes        (times the rate)

Promising is simpler for the server, and its chunks are larger. It wastes nothing more if all of it is gone before an
answer can come, T_m - T_k <= c + d, and only then is it considered.

**A byte has a price.** It takes the link's time, 1 / rate; and it takes energy, air time that others share, and
money, for which `BYTE_SECONDS` stands: twenty bytes more have to save a millisecond, however fast the link. `auto`
chooses the plan for which

    expected seconds + (1 / rate + BYTE_SECONDS) * expected framing + (1 / rate + L) * expected waste

is least, in bytes of framing and waste: over a fast, distant link several layers are sent at once; over a slow one
short layers flow, and stop; where a round trip is short, layers are asked for.

**And there is a limit.** Of all payload bytes, at most the share `UNASKED` is wasted, over many images. What an image
wastes beyond that share of its bytes is a debt, and what it wastes less pays back. The price L of a wasted byte rises
with the debt,

    L = BYTE_SECONDS * exp(debt / bytes of all layers)

until `auto` buys the earlier answer only where it is cheapest: for images whose next layer is short, and for one
layer rather than two (dual ascent on the limit). As no answer is worth more than a few seconds, the debt stays below
some images' bytes.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from math import exp
from statistics import fmean, median
from typing import Any, Final, get_args

from overtone.edge_client.errors import UsageError
from overtone.edge_client.link_estimator import LinkEstimator
from overtone.edge_client.need_estimator import NeedEstimator
from overtone.edge_client.observation import Observation
from overtone.edge_client.plan import ON_DEMAND, Plan, Policy, ahead, at_once, together

SMALLEST_CHUNK: Final = 256
LARGEST_CHUNK: Final = 16 * 1024
# The number of chunks that the link carries until the answer comes. The chunk in flight at that moment is wasted, and
# each chunk has a header; with eight chunks, neither is much.
CHUNKS: Final = 8
BYTE_SECONDS: Final = 50e-6
UNASKED: Final = 1 / 8
# Beyond this no waste is bought anyway, and the exponential would overflow.
MAX_EXPONENT: Final = 20.0
# Bytes up on the wire, beside the payload: of a chunk (HTTP/2, gRPC, protobuf, and TCP/IP, as messages that are not
# written together seldom travel together), of a layer that is asked for (and WINDOW_UPDATEs for the question), and of a
# request over REST.
CHUNK_BYTES: Final = 75
ASK_BYTES: Final = 105
REQUEST_BYTES: Final = 220
# The number of images of which the server's time and the queue on the link are known.
RECENT: Final = 16


def chunk_bytes(rate: float, answer_seconds: float) -> int:
    """The size of chunks that flow over a link of this rate, if the answer comes after so many seconds."""
    return max(SMALLEST_CHUNK, min(LARGEST_CHUNK, int(rate * answer_seconds / CHUNKS)))


@dataclass(frozen=True)
class Costs:
    """The expected time and bytes of an image; the letters are those of the module's docstring.

    Attributes:
        sizes: s_1, ..., s_n.
        shares: p_0, ..., p_(n-1).
        rate: of the link, in bytes per second.
        round_trip: d, in seconds.
        compute: c, in seconds.
        queue: w, in seconds.
        can_stop: whether layers can follow the first message; otherwise they are only sent together or asked for.
    """

    sizes: tuple[int, ...]
    shares: tuple[float, ...]
    rate: float
    round_trip: float
    compute: float
    queue: float = 0.0
    can_stop: bool = True

    def best(self, debt: float = 0.0) -> Plan:
        """The plan of the lowest price."""
        return min(self.plans(), key=lambda plan: self.price(plan, debt))

    def plans(self) -> list[Plan]:
        """All plans that are considered, `on_demand` first."""
        if not self.can_stop:
            return [together(k) for k in self._needs]
        ends, n = self._ends, len(self.sizes)
        pairs = ((k, m) for k in self._needs for m in range(k, n + 1))
        return [Plan(k, m, promised=0 < ends[m] - ends[k] <= self._wait) for k, m in pairs]

    def price(self, plan: Plan, debt: float = 0.0) -> float:
        """The price of a plan that `auto` minimises, in seconds, at a debt in bytes."""
        dear = BYTE_SECONDS * exp(min(MAX_EXPONENT, debt / sum(self.sizes)))
        framing, waste = self.framing(plan) * (1 / self.rate + BYTE_SECONDS), self.wasted(plan)
        return self.seconds(plan) + framing + waste * (1 / self.rate + dear)

    def seconds(self, plan: Plan) -> float:
        """The expected seconds from sending the image to its answer."""
        done = self._done(plan)
        asking = [
            max(0.0, self.round_trip - self.queue) + size / self.rate + self.compute for size in self.sizes
        ]
        return self.round_trip + self._expected(
            [done[min(j, plan.unasked)] + sum(asking[plan.unasked : j]) for j in self._needs]
        )

    def wasted(self, plan: Plan) -> float:
        """The expected payload bytes that are not needed."""
        ends, carried = self._ends, self._carried(plan)
        return self.rate * self._expected(
            [max(0.0, sent - end) for sent, end in zip(carried, ends[1:], strict=True)]
        )

    def framing(self, plan: Plan) -> float:
        """The expected bytes of messages beyond the first."""
        chunks = float(plan.unasked - plan.together)
        if chunks and not plan.promised:
            flowing = self._expected(self._carried(plan)) - self._ends[plan.together]
            chunks = max(chunks, flowing * self.rate / chunk_bytes(self.rate, self._wait))
        ask = ASK_BYTES if self.can_stop else REQUEST_BYTES
        return CHUNK_BYTES * chunks + ask * self._expected([max(0, j - plan.unasked) for j in self._needs])

    def _carried(self, plan: Plan) -> list[float]:
        """The time, in seconds, that the link carries unasked layers if 1, ..., n layers are needed."""
        ends, done = self._ends, self._done(plan)
        if plan.promised or plan.unasked == plan.together:
            return [ends[plan.unasked]] * len(self.sizes)
        return [min(ends[plan.unasked], done[min(j, plan.unasked)] + self.round_trip) for j in self._needs]

    def _done(self, plan: Plan) -> list[float]:
        """E_0, ..., E_m, where E_0 is of no use."""
        ends, k = self._ends, plan.together
        done = [ends[k] + i * self.compute for i in range(k + 1)]
        for i in range(k + 1, plan.unasked + 1):
            done.append(max(done[-1], ends[i]) + self.compute)
        return done

    def _expected(self, values: Sequence[float]) -> float:
        """The expectation of values given for j = 1, ..., n needed layers."""
        more = (*self.shares[1:], 0.0)
        return sum((p - q) * value for p, q, value in zip(self.shares, more, values, strict=True))

    @property
    def _wait(self) -> float:
        return self.compute + self.round_trip

    @property
    def _needs(self) -> range:
        return range(1, len(self.sizes) + 1)

    @cached_property
    def _ends(self) -> list[float]:
        """T_0, ..., T_n."""
        return list(accumulate((size / self.rate for size in self.sizes), initial=0.0))


class PlanSelector:
    """Selects the plan for each image, and learns the link and the model from what it observes.

    Args:
        policy: the same plan for every image, or `auto`.
        exit_share: the share of images that the first layer answers, as the model's card gives it.
        can_stop: whether layers can follow the first message. Where they cannot (REST: a request is sent as a whole,
            and cutting it off would cost its connection), `ahead` is `on_demand`, and `at_once` is one message.
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
        self._needs = NeedEstimator(exit_share)
        self._server_seconds: deque[float] = deque(maxlen=RECENT)
        self._queued: deque[float] = deque(maxlen=RECENT)
        self._debt = 0.0

    def expect(self, exit_share: float | None) -> None:
        """Start from the share of images that the first layer answers, as a card gives it; None without a card."""
        self._needs = NeedEstimator(exit_share)

    @property
    def rate(self) -> float | None:
        """Bytes per second that the link carries towards the server; None as long as it is unknown."""
        return self.link.rate

    @property
    def answer_seconds(self) -> float:
        """d + c: from the last byte of the first message to its answer; 0.0 as long as it is unknown."""
        return self.link.round_trip + self._compute

    def shares(self, layers: int) -> tuple[float, ...]:
        """p_0, ..., p_(n-1) for images of n layers."""
        return self._needs.shares(layers)

    def plan(self, sizes: Sequence[int], *, in_regions: bool = False) -> Plan:
        """The plan for an image whose layers have these sizes, in bytes.

        Where the server asks for further layers `in_regions`, which cost a fraction of what would be sent unasked,
        `auto` is `on_demand`.
        """
        match self._policy:
            case "ahead" if self._can_stop:
                return ahead(len(sizes))
            case "at_once":
                return at_once(len(sizes)) if self._can_stop else together(len(sizes))
            case "auto" if not in_regions and (rate := self.rate) is not None:
                return self._costs(tuple(sizes), rate).best(self._debt)
        # Also until the link is known: only `on_demand` measures it with every message.
        return ON_DEMAND

    def observe(self, seen: Observation) -> None:
        """Learn from an image that was answered."""
        self._queued.append(seen.queued)
        self._account(seen)
        self._needs.observe(seen)
        if seen.judgements == 1:
            self._server_seconds.append(seen.server)
        for end, at in seen.trips(self._compute, self.rate):
            self.link.replied(end, at)

    @property
    def _compute(self) -> float:
        return median(self._server_seconds) if self._server_seconds else 0.0

    def _costs(self, sizes: tuple[int, ...], rate: float) -> Costs:
        queue = fmean(self._queued) / rate if self._queued else 0.0
        shares = self.shares(len(sizes))
        return Costs(sizes, shares, rate, self.link.round_trip, self._compute, queue, self._can_stop)

    def _account(self, seen: Observation) -> None:
        """Add to the debt what was wasted beyond the share; nothing is saved up, as a device may change its link."""
        self._debt = max(0.0, self._debt + seen.wasted - UNASKED * seen.sent)


def exit_share(card: Mapping[str, Any], operating_point: str = "") -> float | None:
    """The share of images that the first layer answers, as a card gives it to devices; None if it does not.

    The card holds operating points of the default quality only; at another quality the share is much the same. An
    empty name stands for the card's default operating point.
    """
    name = operating_point or card.get("operating_point")
    shares = [
        point.get("exit_share") for point in card.get("operating_points", ()) if point.get("name") == name
    ]
    return next((share for share in shares if isinstance(share, float) and 0 <= share <= 1), None)
