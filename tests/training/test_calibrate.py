import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overtone.models import Temperature
from overtone.training.calibrate import fit_temperature, modes, operating_points, risk_controlled_threshold
from overtone.training.predict import Predictions
from tests.training.populations import predictions


def test_temperature_is_found() -> None:
    p = predictions()
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(20_000, 5)) * 2
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    drawn = (probabilities.cumsum(1) > rng.random((20_000, 1))).argmax(1)
    assert fit_temperature(3 * logits, drawn) == pytest.approx(3.0, rel=0.05)
    assert fit_temperature(p.low, p.targets) > 1


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(5, 300), st.sampled_from([0.005, 0.01, 0.05, 0.2]))
def test_threshold_is_the_least_that_keeps_the_risk(seed: int, n: int, alpha: float) -> None:
    rng = np.random.default_rng(seed)
    scores = np.round(rng.random(n), 2)  # rounded, so that ties occur
    low_right, high_right = rng.random(n) < scores, rng.random(n) < 0.9
    threshold = risk_controlled_threshold(scores, low_right, high_right, alpha)

    def risk(t: float) -> float:
        return float(((scores >= t) & high_right & ~low_right).sum() + 1) / (n + 1)

    if (1 / (n + 1)) > alpha:
        assert threshold > 1
        return
    assert risk(threshold) <= alpha
    below = scores[scores < threshold]
    assert not below.size or risk(below.max()) > alpha


def test_promise_is_kept_on_new_pictures() -> None:
    """The mean loss over many fresh draws stays within alpha."""
    losses = []
    for seed in range(60):
        p, fresh = predictions(500, seed), predictions(4000, 1000 + seed)
        t = fit_temperature(p.low, p.targets)
        temperature = Temperature(low=t)
        point = next(o for o in operating_points(p, temperature) if o.name == "thrifty")
        assert point.alpha == 0.02
        found = modes(fresh, temperature, point.threshold)
        losses.append(found.both - found.cascade)
    assert np.mean(losses) <= 0.02


def test_modes_by_hand() -> None:
    p = Predictions(
        low=np.array([[5.0, 0.0], [0.0, 5.0], [0.1, 0.0]]),
        high=np.array([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]),
        targets=np.array([0, 1, 1]),
        low_bytes=np.array([10, 20, 30]),
        high_bytes=np.array([100, 200, 300]),
    )
    found = modes(p, Temperature(), 0.9)
    assert (found.low, found.both, found.cascade) == (2 / 3, 2 / 3, 1.0)
    assert found.exit_share == 2 / 3
    assert found.mean_bytes == 20 + 100
