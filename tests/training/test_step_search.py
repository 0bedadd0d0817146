from typing import Any

import numpy as np
import pytest
import torch

from overtone.frequency import THREE_LAYERS
from overtone.frequency.channels import HIGH, LOW
from overtone.models import Architecture, ResNetCascade
from overtone.training.codec.rate import Rate
from overtone.training.codec.step_search import StepSearch

SMALL: dict[str, Any] = {"low_width": 0.0625, "high_width": 0.0625, "stem": 4, "layers": (1, 1, 1, 1)}
VALUES = np.random.default_rng(0).laplace(0, 60, (24, 24, 8, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def search() -> StepSearch:
    """For a random cascade whose low network reads only its first channel; high is never requested."""
    torch.manual_seed(0)
    model = ResNetCascade(Architecture(classes=4, **SMALL)).eval()
    for part in model.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(part.weight)
    model.low_norm.std.fill_(100)
    with torch.no_grad():
        model.low_stem.get_parameter("0.weight")[:, 1:] = 0
    rates = [Rate(VALUES, LOW + HIGH, threshold) for threshold in (0.5, 0.6)]
    weights = np.ones(24)
    weights[6:] = 0
    return StepSearch(model, VALUES, rates, weights, share=0.0)


def test_harm_grows_with_the_step_and_is_nothing_without_rounding(search: StepSearch) -> None:
    harms = [search.uniform(budget).harm for budget in (250, 120, 60)]
    assert 0 < harms[0] < harms[1] < harms[2]
    assert search.harm(np.full(24, 1e-3), 0.5) < 1e-5


def test_what_is_read_is_rounded_finest(search: StepSearch) -> None:
    chosen = search.run(120, [1.0] * 24)
    assert chosen.steps[0] == min(chosen.steps[:6])
    assert chosen.steps[0] < min(chosen.steps[1:6]) / 2


def test_the_budget_is_kept_and_one_step_for_all_beaten(search: StepSearch) -> None:
    for budget in (60, 120):
        chosen, uniform = search.run(budget, [1.0] * 24), search.uniform(budget)
        assert chosen.bytes == pytest.approx(budget, rel=0.05)
        assert uniform.bytes == pytest.approx(budget, rel=0.05)
        assert chosen.harm < uniform.harm


def test_every_channel_of_every_round_is_reported(search: StepSearch) -> None:
    told = []
    search.run(100, [1.0] * 24, rounds=2, done=lambda: told.append(1))
    assert len(told) == 48


def test_another_search_judges_on_its_own_images(search: StepSearch) -> None:
    chosen = search.uniform(120)
    other = StepSearch(search.model, VALUES[:5], search.rates, search.weights, 0.0).judge(chosen)
    assert (other.steps, other.threshold) == (chosen.steps, chosen.threshold)
    assert other.harm != chosen.harm


def test_three_layers_harm_and_cost_more_than_two(search: StepSearch) -> None:
    """The coarse first layer is judged too; nested, both take what the finer one would if all requested it."""
    model, rates, weights = search.model, search.rates, search.weights
    steps = np.full(24, 40.0)
    three, all_asking = (StepSearch(model, VALUES, rates, weights, p, THREE_LAYERS) for p in (0.0, 1.0))
    two = StepSearch(model, VALUES, rates, weights, 1.0)
    assert three.harm(steps, 0.5) == pytest.approx(search.harm(3 * steps, 0.5), rel=0.2)
    assert three.harm(steps, 0.5) > 1.5 * search.harm(steps, 0.5) > 0
    assert all_asking.harm(steps, 0.5) > two.harm(steps, 0.5)
    assert all_asking._bytes(steps, rates[0]) == pytest.approx(two._bytes(steps, rates[0]))
    assert three._bytes(steps, rates[0]) == pytest.approx(two._bytes(3 * steps, rates[0]))
    chosen = all_asking.run(150, [1.0] * 24, rounds=1)
    assert chosen.bytes == pytest.approx(150, rel=0.05)
