"""A link and a server as arithmetic: one image after another, first in first out, no clock."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from overtone.edge_client.link_estimator import LinkEstimator
from overtone.edge_client.policy import Observation, Plan, PlanSelector


@dataclass(frozen=True)
class SimulatedImage:
    """Payload bytes, and whether low is not enough."""

    low: int
    high: int
    escalates: bool


def simulated_images(count: int, share: float, high: int = 800, seed: int = 1) -> list[SimulatedImage]:
    """Images of different sizes, of `high` on average; those that escalate are spread evenly."""
    rng = random.Random(seed)
    sizes = [(rng.randint(600, 1200), round(high * rng.uniform(0.7, 1.3))) for _ in range(count)]
    return [SimulatedImage(low, h, int((i + 1) * share) > int(i * share)) for i, (low, h) in enumerate(sizes)]


@dataclass
class World:
    """A link of `rate` bytes a second and `rtt` seconds, a server of `compute` seconds for each network."""

    rate: float
    rtt: float
    compute: float
    now: float = 0.0
    free: float = 0.0

    def send(self, plan: Plan, image: SimulatedImage, link: LinkEstimator) -> tuple[Observation, float]:
        """What is observed of one image, and its seconds; the next is sent when this one is answered."""
        begun, h = self.now, image.high / self.rate
        waiting = max(0.0, self.free - begun)
        low_out = begun + waiting + image.low / self.rate
        low_end = link.sent(image.low, begun)
        first = low_out + self.rtt + self.compute
        asked = image.escalates and plan == "on_demand"
        sent = h if image.escalates or plan == "at_once" else 0.0
        if plan == "ahead" and not image.escalates:
            sent = min(h, self.rtt + self.compute)
        self.free = (first if asked else low_out) + sent
        high_end = link.sent(round(sent * self.rate), first if asked else begun)
        if not image.escalates:
            self.now = first
        elif asked:
            self.now = self.free + self.rtt + self.compute
        else:
            self.now = max(low_out + self.compute, self.free) + self.rtt + self.compute
        seen = Observation(
            plan=plan,
            high=image.high,
            sent=round(sent * self.rate),
            low_end=low_end,
            high_end=high_end,
            first=first if asked or not image.escalates else self.now,
            last=self.now,
            server=(1 + image.escalates) * self.compute,
            stage="high" if image.escalates else "low",
            unsent=image.high if asked else None,
            queued=waiting * self.rate,
        )
        return seen, self.now - begun


def played(
    world: World, selector: PlanSelector, images: list[SimulatedImage]
) -> Iterator[tuple[Observation, float]]:
    """What is observed of each image, and its seconds, one after another and as the selector plans them."""
    for image in images:
        seen, seconds = world.send(selector.plan(image.low, image.high), image, selector.link)
        selector.observe(seen)
        yield seen, seconds
