"""Rules for every price: the best ones, in an order along which nobody takes more layers."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overtone.models import OperatingPoint
from overtone.training.calibration.price_path import PRICES, PricePath, _best_rules, fit_path
from overtone.training.calibration.temperature import fit_temperatures
from overtone.training.evaluation.predictions import Predictions
from overtone.training.evaluation.stopping import Floats, judged_layers, layers_taken
from tests.training.populations import layered, three_layers

P = three_layers(600, 4)
T = fit_temperatures(P)
FRESH = three_layers(4000, 5)
FOUR = layered(300, 6, (0.8, 1.2, 1.6, 2.4), ((200, 300), (100, 200), (150, 300), (800, 900)))


@pytest.fixture(scope="module", params=["three layers", "four layers"])
def path(request: pytest.FixtureRequest) -> tuple[PricePath, Predictions, tuple[float, ...]]:
    p = P if request.param == "three layers" else FOUR
    temperatures = fit_temperatures(p)
    return fit_path(p, temperatures), p, temperatures


def test_from_never_to_always_early(path: tuple[PricePath, Predictions, tuple[float, ...]]) -> None:
    rules, p, temperatures = path
    layers = layers_taken(rules.judged(p, temperatures))
    assert (layers[0] == p.layers).all()
    assert not p.lost(layers[0]).any()
    assert (layers[-1] == 1).all()
    assert set(np.unique(layers)) == set(range(1, p.layers + 1))


def test_nobody_takes_more_layers_further_on(path: tuple[PricePath, Predictions, tuple[float, ...]]) -> None:
    """On any images, not only on those that the rules were chosen on."""
    rules, p, temperatures = path
    fresh = FRESH if p.layers == 3 else layered(3000, 7, (1.0, 1.0, 1.0, 1.0), ((1, 9),) * 4)
    assert (np.diff(layers_taken(rules.judged(fresh, temperatures)), axis=0) <= 0).all()
    assert (rules.all_below <= rules.thresholds).all()


def test_rules_lie_close_together(path: tuple[PricePath, Predictions, tuple[float, ...]]) -> None:
    rules, _, _ = path
    assert np.abs(np.diff(rules.thresholds, axis=0)).max() < 0.0041
    assert len(rules) < 2500


def cost(p: Predictions, thresholds: tuple[float, ...], all_below: tuple[float, ...], price: float) -> float:
    """Mean bytes, rounds included, and expected errors at a price."""
    scores = p.confidences(T)
    judged = judged_layers(scores[:-1], thresholds, all_below)
    layers = layers_taken(judged)
    errors = 1 - np.take_along_axis(scores, layers[None] - 1, axis=0)[0]
    return float((p.bytes_after(layers) + 101 * (judged.sum(axis=0) - 1) + price * errors).mean())


@pytest.mark.parametrize("place", [30, 60, 75, 90])
def test_the_last_threshold_is_the_best_and_the_first_too_given_it(place: int) -> None:
    rules = _best_rules(P, T, 101.0)[:, place]
    (first, second), (all_below, last_below) = rules.tolist()
    assert last_below == 0
    price = float(PRICES[place])
    best = cost(P, (first, second), (all_below, 0.0), price)
    for other in np.linspace(0.0, 1.0, 41):
        assert best <= cost(P, (float(other), second), (min(all_below, float(other)), 0.0), price) + 1e-6
    # Of images that are all judged after layer 2, the best second threshold.
    two = replace(P, logits=P.logits[1:], sizes=P.sizes[1:])

    def later(threshold: float) -> float:
        scores = two.confidences(T[1:])
        layers = layers_taken(judged_layers(scores[:-1], (threshold,)))
        errors = 1 - np.take_along_axis(scores, layers[None] - 1, axis=0)[0]
        return float((two.bytes_after(layers) + 101 * (layers - 1) + price * errors).mean())

    assert all(later(second) <= later(float(other)) + 1e-6 for other in np.linspace(0.0, 1.0, 41))


def test_dear_rounds_are_saved_by_asking_for_all_at_once() -> None:
    """At the same price of errors: a round costs little, or more than all of the payload."""
    little, much = (_best_rules(P, T, r)[1, 30:50, 0] for r in (1.0, 3000.0))
    assert (much > little).all()


def test_early_answers_become_more_as_errors_become_cheap() -> None:
    rules = fit_path(P, T)
    sent = [FRESH.bytes_after(layers).mean() for layers in layers_taken(rules.judged(FRESH, T))[::50]]
    right = [FRESH.correct_after(layers).mean() for layers in layers_taken(rules.judged(FRESH, T))[::50]]
    assert sent == sorted(sent, reverse=True)
    assert right[0] > 0.8 > 0.5 > right[-1]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0, 1), min_size=3, max_size=3),
    st.lists(st.floats(0, 1.01), min_size=3, max_size=3),
    st.lists(st.floats(0, 1.01), min_size=3, max_size=3),
)
def test_images_go_as_the_server_sends_them(
    scores: list[float], thresholds: list[float], all_below: list[float]
) -> None:
    """`judged_layers` is `OperatingPoint.wanted`, image by image."""
    point = OperatingPoint(name="x", thresholds=tuple(thresholds), all_below=tuple(all_below))
    confidences: Floats = np.array(scores)[:, None]
    judged, layers = {1}, 1
    while layers <= 3 and (wanted := point.wanted(scores[layers - 1], layers)) > layers:
        layers = wanted
        judged.add(layers)
    found = judged_layers(confidences, point.thresholds, point.all_below)
    assert {int(number) + 1 for number in np.flatnonzero(found[:, 0])} == judged
    assert layers_taken(found).tolist() == [layers]
