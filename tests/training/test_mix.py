import numpy as np
import pytest
from scipy.special import softmax

from overtone.models import Mix
from overtone.training.mix import cross_validated, equal_mix, fit_mix, mixed, reported
from overtone.training.predict import Predictions
from tests.training.populations import predictions


def independent(n: int, seed: int) -> Predictions:
    """Two classifiers as good as each other, wrong on different pictures."""
    return predictions(n, seed, low=1.5, high=1.5)


def test_the_right_mix_is_found() -> None:
    rng = np.random.default_rng(0)
    low, high = rng.normal(size=(2, 30_000, 5))
    probabilities = softmax(0.5 * low + 2.0 * high, axis=1)
    targets = (probabilities.cumsum(axis=1) > rng.random((30_000, 1))).argmax(axis=1)
    sizes = np.full(30_000, 100)
    found = fit_mix(Predictions(low, high, targets, sizes, sizes))
    assert (found.low, found.high) == pytest.approx((0.5, 2.0), abs=0.07)


def test_low_is_left_out_where_it_knows_nothing() -> None:
    p = predictions(20_000, low=0.0)
    found = fit_mix(p)
    assert abs(found.low) < 0.02 < found.high
    assert mixed(p, None) is p


def test_equal_mix_weighs_by_temperature() -> None:
    p = independent(3000, 1)
    sharper = Predictions(3 * p.low, p.high, p.targets, p.low_bytes, p.high_bytes)
    one, other = equal_mix(p), equal_mix(sharper)
    assert one.low / other.low == pytest.approx(3, rel=0.02)
    np.testing.assert_allclose(mixed(p, one).high, one.low * p.low + one.high * p.high)


def test_mixing_independent_networks_gains() -> None:
    for found in (cross_validated(independent(2000, 1)), reported(independent(900, 1), independent(3000, 2))):
        alone, fitted = found["high alone"], found["fitted"]
        assert (alone.gain, alone.error, alone.cascade_gain) == (0, 0, 0)
        assert fitted.gain > 2 * fitted.error > 0
        assert fitted.gain == pytest.approx(fitted.both - alone.both)
        assert fitted.nll < alone.nll
        assert found["equal"].gain > 0


def test_a_mix_of_arrays_and_of_tensors_is_the_same() -> None:
    import torch

    rng = np.random.default_rng(0)
    low, high = rng.normal(size=(2, 3, 4))
    mix = Mix(low=0.3, high=0.9)
    tensor = mix(torch.from_numpy(low), torch.from_numpy(high))
    np.testing.assert_allclose(tensor.numpy(), mix(low, high))
