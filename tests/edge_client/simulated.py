"""A link and a server as arithmetic: one image after another, first in first out, no clock."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from overtone.edge_client.link_estimator import LinkEstimator
from overtone.edge_client.observation import Observation, Reply
from overtone.edge_client.plan import Plan
from overtone.edge_client.policy import PlanSelector


@dataclass(frozen=True)
class SimulatedImage:
    """The bytes of each layer, and how many layers are needed."""

    sizes: tuple[int, ...]
    needs: int


def simulated_images(
    count: int, shares: Sequence[float], means: Sequence[int] = (900, 800), seed: int = 1
) -> list[SimulatedImage]:
    """Images of different sizes; exactly `shares[i - 1]` of them need more than i layers, in no order."""
    rng = random.Random(seed)
    needs = [1 + sum((i + 0.5) / count < share for share in shares) for i in range(count)]
    rng.shuffle(needs)
    return [
        SimulatedImage(tuple(round(mean * rng.uniform(0.7, 1.3)) for mean in means), need) for need in needs
    ]


class KnownLink(LinkEstimator):
    """An estimator that need not estimate, which is quicker."""

    def __init__(self, world: "World") -> None:
        super().__init__(world.rate)
        self._world = world

    @property
    def rate(self) -> float:
        return self._world.rate

    @property
    def round_trip(self) -> float:
        return self._world.rtt

    def replied(self, end: int, at: float) -> None: ...


@dataclass
class World:
    """A link of `rate` bytes a second and `rtt` seconds, a server of `compute` seconds for each judgement."""

    rate: float
    rtt: float
    compute: float
    now: float = 0.0
    free: float = 0.0

    def send(self, plan: Plan, image: SimulatedImage, link: LinkEstimator) -> tuple[Observation, float]:
        """What is observed of one image, and its seconds; the next is sent when this one is answered.

        What leaves the queue reaches the server half a round trip later, and so does a reply the device.
        """
        begun, k, m = self.now, plan.together, plan.unasked
        waiting = max(0.0, self.free - begun)
        left = [begun + waiting + sum(image.sizes[: max(i, k)]) / self.rate for i in range(m + 1)]
        done = left[k] + self.compute * min(k, image.needs)
        for i in range(k + 1, min(m, image.needs) + 1):
            done = max(done, left[i]) + self.compute
        stops = m > k and not plan.promised and image.needs <= m
        carried = left[m]
        if stops:
            carried = min(left[m], max(done + self.rtt, left[max(k, image.needs)]))
        sent = sum(image.sizes[:m]) - round((left[m] - carried) * self.rate)
        ends = self._record(link, image, plan, sent, begun)
        self.free, replies = carried, []
        for layer in range(m + 1, image.needs + 1):
            replies.append(Reply(done + self.rtt, layer, sent))
            ends.append(link.sent(image.sizes[layer - 1], done + self.rtt))
            sent += image.sizes[layer - 1]
            self.free = done + self.rtt + image.sizes[layer - 1] / self.rate
            done = self.free + self.compute
        self.now = done + self.rtt
        seen = Observation(
            plan=plan,
            sizes=image.sizes,
            replies=(*replies, Reply(self.now, image.needs, sent)),
            ends=(*ends, *[0] * (len(image.sizes) - len(ends))),
            sent=sent,
            server=image.needs * self.compute,
            stage="low" if image.needs == 1 else "high",
            queued=waiting * self.rate,
        )
        return seen, self.now - begun

    @staticmethod
    def _record(link: LinkEstimator, image: SimulatedImage, plan: Plan, sent: int, begun: float) -> list[int]:
        """The offsets at which layers end that were sent unasked."""
        ends = [link.sent(sum(image.sizes[: plan.together]), begun)] * plan.together
        so_far = sum(image.sizes[: plan.together])
        for layer in range(plan.together, plan.unasked):
            part = min(image.sizes[layer], sent - so_far)
            end = link.sent(part, begun) if part else 0
            ends.append(end if part == image.sizes[layer] else 0)
            so_far += part
        return ends


def played(
    world: World, selector: PlanSelector, images: list[SimulatedImage]
) -> Iterator[tuple[Observation, float]]:
    """What is observed of each image, and its seconds, one after another and as the selector plans them."""
    for image in images:
        seen, seconds = world.send(selector.plan(image.sizes), image, selector.link)
        selector.observe(seen)
        yield seen, seconds
