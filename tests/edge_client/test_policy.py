"""Good plans are selected, on links that are arithmetic."""

import itertools
from collections import Counter
from statistics import mean
from typing import cast

import pytest

from overtone.edge_client import UsageError
from overtone.edge_client.link_estimator import LinkEstimator
from overtone.edge_client.policy import Costs, Observation, Plan, PlanSelector, Policy, exit_share
from tests.edge_client.simulated import SimulatedImage, World, played, simulated_images

PLANS: tuple[Plan, ...] = ("on_demand", "ahead", "at_once")
KBIT = 125.0
WARM_UP, IMAGES = 40, 60

# kbit/s, bytes of high, and seconds of compute.
LINKS = (
    (20, 800, 0.05),
    (60, 4000, 0.003),
    (150, 800, 0.05),
    (300, 4000, 0.003),
    (1000, 800, 0.05),
    (5000, 4000, 0.003),
    (50_000, 800, 0.05),
)
ROUND_TRIPS = (0.005, 0.02, 0.06, 0.15, 0.6, 1.5)
SHARES = (0.05, 0.2, 0.5, 0.9)


def price(plan: Plan, world: World, image: SimulatedImage, share: float) -> tuple[float, float]:
    """The seconds that an image is expected to waste on the link, and to save, by their definition."""
    h = image.high / world.rate
    if plan == "on_demand":
        return 0.0, 0.0
    wasted = h if plan == "at_once" else min(h, world.rtt + world.compute)
    return (1 - share) * wasted, share * (world.rtt + min(world.compute, h))


def saves_enough(share: float, prices: list[tuple[float, float]]) -> bool:
    """Whether, over all images, at most that share of what is saved is wasted."""
    return sum(wasted for wasted, _ in prices) <= share * sum(saved for _, saved in prices)


def run(policy: Policy, world: World, images: list[SimulatedImage]) -> list[tuple[Observation, float]]:
    return list(played(world, PlanSelector(policy), images))[WARM_UP:]


def fixed(plan: Plan, world: World, images: list[SimulatedImage]) -> float:
    """Mean seconds of an image with the same plan for all; nothing has to be learned for that."""
    return mean([world.send(plan, image, LinkEstimator())[1] for image in images][WARM_UP:])


def seconds(played: list[tuple[Observation, float]]) -> float:
    """Mean seconds of an image."""
    return mean(each for _, each in played)


@pytest.mark.parametrize(("rate", "high", "compute"), LINKS)
def test_auto_is_near_the_best_plan_everywhere(rate: int, high: int, compute: float) -> None:
    """It is within 5 % of the fastest plan that does not waste more than it saves, and does not do so itself.

    Where waste and saving differ by less than a tenth, either choice is allowed, as both cost the same.
    """
    for rtt, share in itertools.product(ROUND_TRIPS, SHARES):
        world = World(rate * KBIT, rtt, compute)
        images = simulated_images(WARM_UP + IMAGES, share, high)
        rest = images[WARM_UP:]
        fair = [
            plan for plan in PLANS if saves_enough(0.9, [price(plan, world, image, share) for image in rest])
        ]
        times = {plan: fixed(plan, world, images) for plan in fair}
        auto = run("auto", world, images)
        where = f"{rtt} s, share {share}: {Counter(outcome.plan for outcome, _ in auto)}"
        assert seconds(auto) <= 1.05 * min(times.values()), where
        prices = [
            price(outcome.plan, world, image, share) for (outcome, _), image in zip(auto, rest, strict=True)
        ]
        assert saves_enough(1.1, prices), where


def test_each_plan_is_best_somewhere() -> None:
    assert Costs(high=0.02, round_trip=0.6, compute=0.01, share=0.2).best() == "at_once"
    assert Costs(high=0.3, round_trip=0.05, compute=0.01, share=0.2).best(gained=-1) == "on_demand"
    assert Costs(high=0.3, round_trip=0.05, compute=0.01, share=0.6).best() == "ahead"
    never_stops = Costs(high=0.3, round_trip=0.05, compute=0.01, share=0.6, can_stop=False)
    assert never_stops.best(gained=-1) == "on_demand"
    assert Costs(high=0.02, round_trip=0.6, compute=0.01, share=0.0).best(gained=-1) == "on_demand"


def test_earlier_gains_pay_for_a_loss_and_the_budget_may_go_negative_by_one_saving() -> None:
    loss = Costs(high=0.3, round_trip=0.05, compute=0.01, share=0.2)
    assert loss.best(gained=-loss.saved - 0.9 * loss.gain) == "on_demand"
    assert loss.best(gained=-loss.saved - 1.1 * loss.gain) == "ahead"


def test_a_debt_does_not_stop_a_gain() -> None:
    assert Costs(high=0.02, round_trip=0.6, compute=0.01, share=0.2).best(gained=-10) == "at_once"


@pytest.mark.parametrize("share", [0.15, 0.18, 0.2])
def test_where_both_cost_the_same_auto_is_quick_and_wastes_no_more_than_it_saves(share: float) -> None:
    """Over a link where sending high unasked gains or loses little."""
    world = World(300 * KBIT, 0.12, 0.006)
    images = simulated_images(400, share, high=700)
    auto = list(played(world, PlanSelector("auto", exit_share=1 - share), images))
    prices = [price(o.plan, world, image, share) for (o, _), image in zip(auto, images, strict=True)]
    assert saves_enough(1.05, prices)
    assert seconds(auto) <= 1.05 * fixed("at_once", world, images)


@pytest.mark.parametrize("plan", PLANS)
def test_a_fixed_plan_is_kept_whatever_is_learned(plan: Plan) -> None:
    outcomes = run(plan, World(60 * KBIT, 0.6, 0.01), simulated_images(60, 0.2))
    assert {outcome.plan for outcome, _ in outcomes} == {plan}


def test_auto_asks_until_it_knows_the_link() -> None:
    assert PlanSelector("auto").plan(900, 800) == "on_demand"
    assert PlanSelector("auto").rate is None


def test_where_nothing_can_be_stopped_ahead_is_on_demand() -> None:
    assert PlanSelector("ahead", can_stop=False).plan(900, 800) == "on_demand"
    selector = PlanSelector("auto", can_stop=False)
    outcomes = list(played(World(60 * KBIT, 0.02, 0.01), selector, simulated_images(60, 0.5)))
    assert all(outcome.plan != "ahead" for outcome, _ in outcomes)


def test_what_is_measured_is_the_link() -> None:
    selector = PlanSelector("auto")
    list(played(World(60 * KBIT, 0.3, 0.02), selector, simulated_images(40, 0.25)))
    assert selector.rate == pytest.approx(60 * KBIT, rel=0.01)
    assert selector.answer_seconds == pytest.approx(0.32, rel=0.01)


def test_a_card_is_believed_until_images_say_otherwise() -> None:
    selector = PlanSelector("auto", exit_share=0.9)
    assert selector.share == pytest.approx(0.1)
    list(played(World(1000 * KBIT, 0.1, 0.01), selector, simulated_images(400, 0.5)))
    assert selector.share == pytest.approx(0.5, abs=0.05)


def test_a_device_that_moves_is_followed() -> None:
    selector, world = PlanSelector("auto"), World(10_000 * KBIT, 0.05, 0.01)
    for rate, plan in ((10_000, "at_once"), (60, "on_demand"), (10_000, "at_once")):
        world.rate = rate * KBIT
        outcome, _ = list(played(world, selector, simulated_images(60, 0.2)))[-1]
        assert outcome.plan == plan


def test_a_brownout_teaches_nothing_about_the_share() -> None:
    selector = PlanSelector("auto", exit_share=0.8)
    brownout = Observation("on_demand", 800, 0, 900, 0, 0.3, 0.3, 0.01, "brownout")
    for _ in range(50):
        selector.observe(brownout)
    assert selector.share == pytest.approx(0.2)


def test_bytes_that_were_not_needed() -> None:
    sent = Observation("ahead", 800, 256, 900, 1156, 0.3, 0.3, 0.01, "low")
    assert (sent.escalated, sent.wasted) == (False, 256)
    asked = Observation("ahead", 800, 800, 900, 1700, 0.3, 0.6, 0.01, "brownout", unsent=544)
    assert (asked.escalated, asked.wasted) == (True, 0)


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(UsageError, match="ahead"):
        PlanSelector(cast(Policy, "sometimes"))


def test_the_exit_share_of_a_card() -> None:
    points = [{"name": "careful", "exit_share": 0.6}, {"name": "bold", "exit_share": 0.9}, {"name": "bare"}]
    card = {"operating_point": "careful", "operating_points": points}
    assert exit_share(card) == 0.6
    assert exit_share(card, "bold") == 0.9
    assert exit_share(card, "bare") is exit_share({}) is None
