import numpy as np
import pytest

from overtone.frequency.channels import HIGH, LOW
from overtone.training.codec.rate import Rate

RNG = np.random.default_rng(3)


def of(plane: np.ndarray, step: float, threshold: float = 0.5, channel: int = 1) -> float:
    """Bytes of one channel float[N, h, w]."""
    return float(Rate(plane[:, None].astype(np.float32), (channel,), threshold)(np.array([step]))[0])


def test_zeros_cost_nothing() -> None:
    assert of(np.zeros((4, 8, 8)), 16) == 0


def test_independent_values_cost_their_entropy() -> None:
    fair = np.where(RNG.random((50, 16, 16)) < 0.5, 200, -200)
    assert of(fair, 200) == pytest.approx(16 * 16 / 8, rel=0.02)


def test_coarser_steps_and_wider_dead_zones_cost_less() -> None:
    noise = RNG.laplace(0, 40, (6, 12, 12))
    costs = [of(noise, step) for step in (8, 16, 32, 64, 128)]
    assert costs == sorted(costs, reverse=True)
    assert of(noise, 32, 0.7) < of(noise, 32)


def test_dc_is_predicted_from_its_neighbours() -> None:
    ramp = np.add.outer(np.arange(12), np.arange(12))[None].repeat(6, 0) * 100
    assert of(ramp, 96, channel=0) < of(ramp, 96, channel=1) / 2


def test_each_channel_has_its_step() -> None:
    values = RNG.laplace(0, 40, (4, 24, 8, 8)).astype(np.float32)
    rate, steps = Rate(values, LOW + HIGH, 0.5), np.full(24, 32.0)
    wider = steps.copy()
    wider[3] = 90
    assert np.flatnonzero(rate(wider) != rate(steps)).tolist() == [3]
