"""Good plans are selected, on links that are arithmetic."""

from collections import Counter
from dataclasses import replace
from statistics import mean
from typing import cast

import pytest

from overtone.edge_client import UsageError
from overtone.edge_client.link_estimator import LinkEstimator
from overtone.edge_client.observation import Observation
from overtone.edge_client.plan import ON_DEMAND, Plan, Policy, ahead, at_once, together
from overtone.edge_client.policy import (
    BYTE_SECONDS,
    UNASKED,
    Costs,
    PlanSelector,
    exit_share,
)
from tests.edge_client.simulated import KnownLink, SimulatedImage, World, played, simulated_images

KBIT = 125.0
WARM_UP, IMAGES = 200, 200

# kbit/s, and seconds of compute.
LINKS = ((20, 0.05), (60, 0.003), (300, 0.003), (1000, 0.05), (20_000, 0.003))
ROUND_TRIPS = (0.005, 0.12, 0.6)
# The mean bytes of layers, and the shares that need more than each but the last.
TWO, THREE = (870, 670), (380, 420, 670)
NEEDS = (
    (TWO, (0.05,)),
    (TWO, (0.3,)),
    (TWO, (0.9,)),
    (THREE, (0.39, 0.09)),
    (THREE, (0.8, 0.1)),
    (THREE, (0.9, 0.85)),
)


def certain(needs: int, layers: int) -> tuple[float, ...]:
    """p_0, ..., p_(n-1) of images that all need so many layers."""
    return tuple(float(i < needs) for i in range(layers))


def run(policy: Policy, world: World, images: list[SimulatedImage]) -> list[tuple[Observation, float]]:
    """With a card that is right."""
    share = mean(image.needs == 1 for image in images)
    return list(played(world, PlanSelector(policy, exit_share=share, link=KnownLink(world)), images))[
        WARM_UP:
    ]


def fixed(plan: Plan, world: World, images: list[SimulatedImage]) -> list[tuple[Observation, float]]:
    """The same plan for all; nothing has to be learned for that, so it needs no warm-up."""
    link = LinkEstimator()
    return [world.send(plan, image, link) for image in images[WARM_UP:]]


def seconds(done: list[tuple[Observation, float]]) -> float:
    """Mean seconds of an image."""
    return mean(each for _, each in done)


def wasted(done: list[tuple[Observation, float]], images: list[SimulatedImage]) -> float:
    """The share of all bytes that was not needed."""
    needed = sum(sum(image.sizes[: image.needs]) for image in images[-len(done) :])
    return 1 - needed / sum(seen.sent for seen, _ in done)


def price(done: list[tuple[Observation, float]], images: list[SimulatedImage], costs: Costs) -> float:
    """Mean seconds of an image, and the price of what it wasted and of its messages."""
    lost = wasted(done, images) * mean(seen.sent for seen, _ in done)
    framing = mean(costs.framing(seen.plan) for seen, _ in done)
    return seconds(done) + (1 / costs.rate + BYTE_SECONDS) * (lost + framing)


@pytest.mark.parametrize("rate", [60 * KBIT, 300 * KBIT, 20_000 * KBIT])
@pytest.mark.parametrize("rtt", [0.02, 0.6])
@pytest.mark.parametrize("sizes", [(900, 800), (400, 500, 700), (300, 300, 4000, 500)])
def test_what_a_plan_is_expected_to_cost_is_what_it_costs(
    rate: float, rtt: float, sizes: tuple[int, ...]
) -> None:
    count = len(sizes)
    for needs in range(1, count + 1):
        costs = Costs(sizes, certain(needs, count), rate, rtt, compute=0.01)
        plans = [ON_DEMAND, ahead(count), at_once(count), *costs.plans()]
        for plan in plans:
            seen, took = World(rate, rtt, 0.01).send(plan, SimulatedImage(sizes, needs), LinkEstimator())
            assert costs.seconds(plan) == pytest.approx(took), (needs, plan)
            assert costs.wasted(plan) == pytest.approx(seen.sent - sum(sizes[:needs]), abs=1), (needs, plan)


def test_the_expected_cost_is_the_mean_over_what_images_need() -> None:
    sizes, shares = (400, 500, 700), (1.0, 0.5, 0.2)
    alone = [Costs(sizes, certain(needs, 3), 10_000, 0.3, 0.01) for needs in (1, 2, 3)]
    mixed = Costs(sizes, shares, 10_000, 0.3, 0.01)
    for plan in mixed.plans():
        one, two, three = (costs.seconds(plan) for costs in alone)
        assert mixed.seconds(plan) == pytest.approx(0.5 * one + 0.3 * two + 0.2 * three)


@pytest.mark.parametrize(("means", "shares"), NEEDS)
@pytest.mark.parametrize(("rate", "compute"), LINKS)
def test_auto_is_near_the_best_fair_plan_and_wastes_little(
    rate: int, compute: float, means: tuple[int, ...], shares: tuple[float, ...]
) -> None:
    """Its price is within 5 % of that of the best plan that keeps the limit, and it keeps the limit itself."""
    images = simulated_images(WARM_UP + IMAGES, shares, means)
    for rtt in ROUND_TRIPS:
        world = World(rate * KBIT, rtt, compute)
        auto = run("auto", world, images)
        where = f"{rtt} s: {Counter(seen.plan for seen, _ in auto)}"
        costs = Costs(means, (1.0, *shares), world.rate, rtt, compute)
        done = [fixed(plan, world, images) for plan in costs.plans()]
        best = min(price(each, images, costs) for each in done if wasted(each, images) <= 0.9 * UNASKED)
        assert price(auto, images, costs) <= 1.05 * best, where
        assert wasted(auto, images) <= UNASKED + 0.02, where


@pytest.mark.parametrize(("means", "shares", "rate", "rtt"), [(THREE, (0.39, 0.09), 2000, 0.65)])
def test_where_a_gain_is_dear_it_is_bought_as_often_as_the_limit_allows(
    means: tuple[int, ...], shares: tuple[float, ...], rate: int, rtt: float
) -> None:
    world, images = World(rate * KBIT, rtt, 0.01), simulated_images(800, shares, means)
    auto, asked, sent = (
        run("auto", world, images),
        fixed(ON_DEMAND, world, images),
        fixed(Plan(1, 2, promised=True), world, images),
    )
    assert wasted(sent, images) > 2 * UNASKED
    assert 0.75 * UNASKED <= wasted(auto, images) <= UNASKED + 0.01
    saved = (seconds(asked) - seconds(auto)) / (seconds(asked) - seconds(sent))
    assert saved >= 0.75 * UNASKED / wasted(sent, images)


def test_each_kind_of_plan_is_best_somewhere() -> None:
    def best(rate: int, rtt: float, shares: tuple[float, ...], can_stop: bool = True) -> str:
        sizes = THREE if len(shares) == 2 else TWO
        return Costs(sizes, (1.0, *shares), rate * KBIT, rtt, 0.005, can_stop=can_stop).best().name

    assert best(60, 0.6, (0.6, 0.1)) == "at_once"
    assert best(1000, 0.1, (0.2,)) == "on_demand"
    assert best(20_000, 0.6, (0.6, 0.1)) == best(20_000, 0.6, (0.6, 0.1), can_stop=False) == "together"
    assert best(30, 0.1, (0.2, 0.1), can_stop=False) == "on_demand"


def test_over_a_satellite_the_first_two_layers_go_together() -> None:
    costs = Costs(THREE, (1.0, 0.6, 0.03), 2000 * KBIT, 0.65, 0.01)
    assert costs.best() == replace(costs, can_stop=False).best() == together(2)


def test_over_a_slow_distant_link_a_short_layer_follows_and_a_long_one_is_asked_for() -> None:
    costs = Costs(THREE, (1.0, 0.5, 0.1), 60 * KBIT, 0.6, 0.01)
    assert costs.best() == Plan(1, 2, promised=True)


@pytest.mark.parametrize(("rate", "rtt"), [(300, 0.12), (1000, 0.1)])
def test_over_lte_m_and_3g_a_large_second_layer_is_asked_for(rate: int, rtt: float) -> None:
    """It saved little there, at half as many bytes again."""
    auto = run("auto", World(rate * KBIT, rtt, 0.006), simulated_images(400, (0.15,), TWO))
    assert {seen.plan for seen, _ in auto} == {ON_DEMAND}


def test_where_the_next_layers_are_long_and_needed_they_flow() -> None:
    assert Costs((870, 9000), (1.0, 0.8), 60 * KBIT, 0.6, 0.005).best() == ahead(2)


def test_a_debt_makes_waste_dear_until_nothing_is_sent_unasked() -> None:
    costs = Costs(THREE, (1.0, 0.7, 0.3), 2000 * KBIT, 0.65, 0.01)
    bought = [costs.best(debt * sum(THREE)).unasked for debt in (0, 1, 2, 3, 4, 5)]
    assert bought == sorted(bought, reverse=True)
    assert set(bought) == {3, 2, 1}
    assert costs.best(1e9) == ON_DEMAND


def test_a_busy_link_makes_asking_cheap() -> None:
    def best(queue: float) -> Plan:
        return Costs(THREE, (1.0, 0.5, 0.1), 60 * KBIT, 0.6, 0.01, queue).best()

    assert best(0.0) != ON_DEMAND
    assert best(0.6) == ON_DEMAND


@pytest.mark.parametrize(
    ("policy", "plan"), [("on_demand", ON_DEMAND), ("ahead", ahead(3)), ("at_once", at_once(3))]
)
def test_a_fixed_plan_is_kept_whatever_is_learned(policy: Policy, plan: Plan) -> None:
    done = run(policy, World(60 * KBIT, 0.6, 0.01), simulated_images(300, (0.3, 0.1), THREE))
    assert {seen.plan for seen, _ in done} == {plan}


def test_auto_asks_until_it_knows_the_link() -> None:
    assert PlanSelector("auto").plan(TWO) == ON_DEMAND
    assert PlanSelector("auto").rate is None


def test_where_nothing_can_follow_there_are_only_whole_messages() -> None:
    assert PlanSelector("ahead", can_stop=False).plan(THREE) == ON_DEMAND
    assert PlanSelector("at_once", can_stop=False).plan(THREE) == together(3)
    selector = PlanSelector("auto", can_stop=False)
    done = list(played(World(2000 * KBIT, 0.6, 0.01), selector, simulated_images(60, (0.8, 0.1), THREE)))
    assert {seen.plan.name for seen, _ in done} == {"on_demand", "together"}


def test_what_is_measured_is_the_link() -> None:
    for means, shares in ((TWO, (0.25,)), (THREE, (0.5, 0.2))):
        selector = PlanSelector("auto")
        list(played(World(60 * KBIT, 0.3, 0.02), selector, simulated_images(60, shares, means)))
        assert selector.rate == pytest.approx(60 * KBIT, rel=0.01)
        assert selector.answer_seconds == pytest.approx(0.32, rel=0.01)


def test_a_card_is_believed_until_images_say_otherwise() -> None:
    selector = PlanSelector("auto", exit_share=0.9)
    assert selector.shares(2) == pytest.approx((1.0, 0.1))
    list(played(World(1000 * KBIT, 0.1, 0.01), selector, simulated_images(400, (0.5,))))
    assert selector.shares(2)[1] == pytest.approx(0.5, abs=0.05)


def test_where_layers_go_together_it_is_still_learned_how_often_one_is_enough() -> None:
    world, selector = World(2000 * KBIT, 0.65, 0.01), PlanSelector("auto")
    list(played(world, selector, simulated_images(100, (0.95, 0.05), THREE)))
    assert selector.plan(THREE) == together(2)
    list(played(world, selector, simulated_images(400, (0.2, 0.05), THREE)))
    assert selector.shares(3)[1] < 0.3


def test_a_device_that_moves_is_followed() -> None:
    selector, world = PlanSelector("auto"), World(2000 * KBIT, 0.65, 0.01)
    for rtt, plans in (
        (0.65, {"together", "on_demand"}),
        (0.002, {"on_demand"}),
        (0.65, {"together", "on_demand"}),
    ):
        world.rtt = rtt
        done = list(played(world, selector, simulated_images(100, (0.5, 0.05), THREE)))[-40:]
        assert {seen.plan.name for seen, _ in done} == plans


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(UsageError, match="ahead"):
        PlanSelector(cast(Policy, "sometimes"))


def test_the_exit_share_of_a_card() -> None:
    points = [{"name": "careful", "exit_share": 0.6}, {"name": "bold", "exit_share": 0.9}, {"name": "bare"}]
    card = {"operating_point": "careful", "operating_points": points}
    assert exit_share(card) == 0.6
    assert exit_share(card, "bold") == 0.9
    assert exit_share(card, "bare") is exit_share({}) is None
