"""A link and a server as arithmetic: one image after the other, first in first out, no clock."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from overtone.edge_client.link import Link
from overtone.edge_client.policy import Chooser, Observation, Plan


@dataclass(frozen=True)
class Picture:
    """Payload bytes, and whether low is not enough."""

    low: int
    high: int
    escalates: bool


def pictures(count: int, share: float, high: int = 800, seed: int = 1) -> list[Picture]:
    """Of different sizes, `high` on average; the share that escalates is spread evenly."""
    rng = random.Random(seed)
    sizes = [(rng.randint(600, 1200), round(high * rng.uniform(0.7, 1.3))) for _ in range(count)]
    return [Picture(low, h, int((i + 1) * share) > int(i * share)) for i, (low, h) in enumerate(sizes)]


@dataclass
class World:
    """A link of `rate` bytes a second and `rtt` seconds, a server of `compute` seconds for each network."""

    rate: float
    rtt: float
    compute: float
    now: float = 0.0
    free: float = 0.0

    def send(self, plan: Plan, picture: Picture, link: Link) -> tuple[Observation, float]:
        """One image, and the seconds it took; the device sends the next when this one is answered."""
        begun, h = self.now, picture.high / self.rate
        waiting = max(0.0, self.free - begun)
        low_out = begun + waiting + picture.low / self.rate
        low_end = link.hand(picture.low, begun)
        first = low_out + self.rtt + self.compute
        asked = picture.escalates and plan == "on_demand"
        sent = h if picture.escalates or plan == "at_once" else 0.0
        if plan == "ahead" and not picture.escalates:
            sent = min(h, self.rtt + self.compute)
        self.free = (first if asked else low_out) + sent
        high_end = link.hand(round(sent * self.rate), first if asked else begun)
        if not picture.escalates:
            self.now = first
        elif asked:
            self.now = self.free + self.rtt + self.compute
        else:
            self.now = max(low_out + self.compute, self.free) + self.rtt + self.compute
        outcome = Observation(
            plan=plan,
            high=picture.high,
            sent=round(sent * self.rate),
            low_end=low_end,
            high_end=high_end,
            first=first if asked or not picture.escalates else self.now,
            last=self.now,
            server=(1 + picture.escalates) * self.compute,
            stage="high" if picture.escalates else "low",
            left=picture.high if asked else None,
            waiting=waiting * self.rate,
        )
        return outcome, self.now - begun


def played(world: World, chooser: Chooser, images: list[Picture]) -> Iterator[tuple[Observation, float]]:
    """How they go, one after the other, as the chooser wants it."""
    for picture in images:
        outcome, seconds = world.send(chooser.plan(picture.low, picture.high), picture, chooser.link)
        chooser.observe(outcome)
        yield outcome, seconds
