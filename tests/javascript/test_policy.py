"""The policy `auto` in JavaScript chooses what it does in Python, over REST, on links that are arithmetic."""

from itertools import product
from typing import Any

import pytest

from overtone.edge_client.link_estimator import LinkEstimator
from overtone.edge_client.observation import Observation
from overtone.edge_client.policy import Costs, PlanSelector
from tests.edge_client.simulated import World, simulated_images
from tests.javascript.conftest import script

KBIT = 125.0
RATES = [bits * KBIT for bits in (20, 60, 300, 1000, 20_000, 1_000_000)]
ROUND_TRIPS = (0.0, 0.002, 0.02, 0.1, 0.6)
COMPUTES = (0.003, 0.05)
# The bytes of layers, and the shares that need more than each but the last.
NEEDS = (
    ((870, 670), (0.05,)),
    ((870, 670), (0.9,)),
    ((417, 380, 700), (0.39, 0.09)),
    ((417, 380, 700), (0.99, 0.4)),
    ((300, 300, 4000, 500), (0.8, 0.7, 0.6)),
)
DEBTS = (0.0, 1500.0, 1e9)  # bytes
# kbit/s, seconds of a round trip, mean bytes, shares.
WORLDS = (
    (60, 0.6, (417, 380, 700), (0.6, 0.1)),
    (2000, 0.65, (417, 380, 700), (0.4, 0.05)),
    (300, 0.12, (870, 670), (0.9,)),
    (20_000, 0.004, (870, 670), (0.1,)),
)
IMAGES = 60


class Recording(LinkEstimator):
    """An estimator that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[tuple[int, float]] = []
        self.offsets: list[int] = []

    def sent(self, size: int, now: float) -> int:
        self.messages.append((size, now))
        self.offsets.append(super().sent(size, now))
        return self.offsets[-1]


def told(seen: Observation, link: Recording) -> dict[str, Any]:
    """An observation for JavaScript, which counts the offsets by itself."""
    layered = [link.offsets.index(end) if end else None for end in seen.ends]
    replies = [{"at": each.at, "layers": each.layers, "sent": each.sent} for each in seen.replies]
    return {
        "together": seen.plan.together,
        "replies": replies,
        "layered": layered,
        "server": seen.server,
        "stage": seen.stage,
    }


def played(
    rate: float, rtt: float, means: tuple[int, ...], shares: tuple[float, ...]
) -> tuple[Any, list[int], PlanSelector]:
    """What was sent and observed, what was chosen, and the selector in the end."""
    link = Recording()
    selector = PlanSelector("auto", exit_share=0.5, can_stop=False, link=link)
    world = World(rate * KBIT, rtt, 0.006)
    images: list[dict[str, Any]] = []
    chosen: list[int] = []
    for image in simulated_images(IMAGES, shares, means):
        plan = selector.plan(image.sizes)
        link.messages, link.offsets = [], []
        seen, _ = world.send(plan, image, link)
        selector.observe(seen)
        images.append({"sizes": image.sizes, "sent": link.messages, "seen": told(seen, link)})
        chosen.append(plan.together)
    return images, chosen, selector


async def test_it_chooses_what_python_chooses() -> None:
    grid = [
        (Costs(sizes, (1.0, *shares), rate, rtt, compute, can_stop=False), debt)
        for rate, rtt, compute, (sizes, shares), debt in product(RATES, ROUND_TRIPS, COMPUTES, NEEDS, DEBTS)
    ]
    costs = [
        {
            "sizes": each.sizes,
            "shares": each.shares,
            "rate": each.rate,
            "roundTrip": each.round_trip,
            "compute": each.compute,
            "debt": debt,
        }
        for each, debt in grid
    ]
    worlds = [played(*world) for world in WORLDS]
    plans, *replayed = await script("policy.js", costs=costs, worlds=[images for images, _, _ in worlds])
    expected = [each.best(debt).together for each, debt in grid]
    assert plans == expected
    assert {*expected} == {1, 2, 3, 4}
    for found, (images, chosen, selector) in zip(replayed, worlds, strict=True):
        assert found["chosen"] == chosen
        assert found["rate"] == pytest.approx(selector.rate, rel=1e-6)
        assert found["roundTrip"] == pytest.approx(selector.link.round_trip, rel=1e-6, abs=1e-9)
        assert found["shares"] == pytest.approx(selector.shares(len(images[0]["sizes"])))
    assert {plan for _, chosen, _ in worlds for plan in chosen} == {1, 2, 3}
