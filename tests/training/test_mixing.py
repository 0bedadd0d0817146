from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import softmax

from overtone.models import Mix
from overtone.training.calibration.mixing import compare, equal_mix, fit_mix, mixed
from overtone.training.evaluation.predictions import Predictions
from tests.training.populations import layered, predictions


def independent(n: int, seed: int) -> Predictions:
    """Two equally good classifiers that are wrong about different images."""
    return predictions(n, seed, low=1.5, high=1.5)


def test_the_best_mix_is_found() -> None:
    rng = np.random.default_rng(0)
    low, high = rng.normal(size=(2, 30_000, 5))
    probabilities = softmax(0.5 * low + 2.0 * high, axis=1)
    targets = (probabilities.cumsum(axis=1) > rng.random((30_000, 1))).argmax(axis=1)
    sizes = np.full(30_000, 100)
    found = fit_mix(Predictions(np.stack([low, high]), targets, np.stack([sizes, sizes])))
    assert (found.low, found.high) == pytest.approx((0.5, 2.0), abs=0.07)


def test_low_is_left_out_if_it_knows_nothing() -> None:
    p = predictions(20_000, low=0.0)
    found = fit_mix(p)
    assert abs(found.low) < 0.02 < found.high
    assert mixed(p, None) is p


def test_equal_mix_weighs_by_temperature() -> None:
    p = independent(3000, 1)
    low, high = p.logits
    one, other = equal_mix(p), equal_mix(replace(p, logits=np.stack([3 * low, high])))
    assert one.low / other.low == pytest.approx(3, rel=0.02)
    np.testing.assert_allclose(mixed(p, one).logits, [low, one.low * low + one.high * high])


def test_all_answers_of_high_are_mixed_with_the_last_of_low() -> None:
    p = layered(50, 0, (1.0, 1.5, 2.0, 2.5), ((1, 2),) * 4)
    p = replace(p, low_layers=2)
    mix = Mix(low=0.25, high=0.75)
    first, second, third, last = p.logits
    expected = [first, second, 0.25 * second + 0.75 * third, 0.25 * second + 0.75 * last]
    np.testing.assert_allclose(mixed(p, mix).logits, expected)


@pytest.mark.parametrize("fresh", [None, independent(3000, 2)])
def test_mixing_independent_networks_gains(fresh: Predictions | None) -> None:
    found = compare(independent(2000, 1), fresh)
    alone, fitted = found["high alone"], found["fitted"]
    assert (alone["gain"], alone["error"]) == (0, 0)
    assert fitted["gain"] > 2 * fitted["error"] > 0
    assert fitted["gain"] == pytest.approx(fitted["both"] - alone["both"])
    assert fitted["nll"] < alone["nll"]
    assert found["equal"]["gain"] > 0


def test_arrays_and_tensors_are_mixed_alike() -> None:
    low, high = np.random.default_rng(0).normal(size=(2, 3, 4))
    mix = Mix(low=0.3, high=0.9)
    tensor = mix(torch.from_numpy(low), torch.from_numpy(high))
    np.testing.assert_allclose(tensor.numpy(), mix(low, high))
