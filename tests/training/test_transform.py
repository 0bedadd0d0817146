import numpy as np
import torch
from numpy.typing import NDArray

from overtone.frequency import THREE_LAYERS, Profile, coefficients, dequantise, known_values, quantise
from overtone.frequency.channels import HIGH, LOW
from overtone.training.transform import (
    BlockDCT,
    Quantiser,
    channel_factors,
    draw_steps,
    draw_thresholds,
    jittered,
    requantise,
)
from tests.ladders import with_ladder


def test_same_numbers_as_the_device(photograph: NDArray[np.uint8]) -> None:
    batch = torch.from_numpy(photograph.copy()).permute(2, 0, 1)[None]
    found = BlockDCT(LOW + HIGH)(batch)[0].numpy()
    np.testing.assert_allclose(found, coefficients(photograph, LOW + HIGH), atol=2e-3)


def test_steps_cover_the_range() -> None:
    steps = draw_steps(2000, 16, 96, torch.Generator().manual_seed(0))
    assert steps.shape == (2000, 1, 1, 1)
    assert 16 <= steps.min() < 17
    assert 90 < steps.max() <= 96
    assert 37 < steps.median() < 41, "log-uniform: the median is the geometric mean"


def test_requantise() -> None:
    x = torch.tensor([-25.0, -3.0, 4.0, 26.0])
    assert requantise(x, torch.tensor(10.0)).tolist() == [-20.0, 0.0, 0.0, 30.0]


def test_each_image_has_its_quantiser() -> None:
    x = torch.tensor([-26.0, -6.0, 4.0, 26.0]).view(1, 1, 1, 4).repeat(2, 1, 1, 1)
    steps, thresholds = torch.full((2, 1, 1, 1), 10.0), torch.tensor([0.5, 0.65]).view(2, 1, 1, 1)
    both = Quantiser(steps, thresholds)
    assert both(x)[0].flatten().tolist() == [-30, -10, 0, 30]
    assert both(x)[1].flatten().tolist() == [-20, 0, 0, 20]


def test_a_quantiser_agrees_with_the_device() -> None:
    values = np.random.default_rng(0).laplace(0, 50, (3, 8, 8)).astype(np.float32)
    for threshold in (0.5, 0.62):
        device = dequantise(quantise(values, [20, 30, 40], threshold), [20, 30, 40])
        steps = torch.tensor([20.0, 30.0, 40.0]).view(1, 3, 1, 1)
        ours = Quantiser(steps, torch.full((1, 1, 1, 1), threshold))(torch.from_numpy(values)[None])[0]
        np.testing.assert_array_equal(ours.numpy(), device)


def test_nested_values_are_those_of_a_layer(tiny_profile: Profile) -> None:
    """What is known after the first of three layers, from the device's own codec."""
    profile = with_ladder(tiny_profile, THREE_LAYERS, thresholds=(62, 62, 62))
    exact = np.random.default_rng(1).laplace(0, 60, (24, 8, 8)).astype(np.float32)
    values = quantise(exact, profile.known_steps(2, 3), profile.threshold(2))
    for layers, factors in ((1, (3, 1)), (2, (1, 1)), (3, (1, 1))):
        known = known_values(values, profile, layers)
        device = dequantise(known, profile.known_steps(2, layers))
        steps = torch.tensor(profile.steps[1]).float().view(1, -1, 1, 1)
        nested = channel_factors(torch.tensor([factors]).float())
        quantiser = Quantiser(steps, torch.full((1, 1, 1, 1), 0.62), nested)
        ours = quantiser(torch.from_numpy(exact)[None])[0].numpy()
        np.testing.assert_array_equal(ours[: len(device)], device)
        finest = quantiser.finest(torch.from_numpy(exact)[None])[0].numpy()
        np.testing.assert_array_equal(finest, dequantise(values, profile.known_steps(2, 3)))


def test_jitter_varies_the_step_of_each_channel() -> None:
    generator = torch.Generator().manual_seed(0)
    steps = jittered(torch.full((500, 1, 1, 1), 64.0), 24, 0.35, generator)
    assert steps.shape == (500, 24, 1, 1)
    logs = (steps / 64).log()
    assert abs(float(logs.mean())) < 0.02
    assert abs(float(logs.std()) - 0.35) < 0.02


def test_thresholds_run_from_a_half() -> None:
    drawn = draw_thresholds(2000, 0.7, torch.Generator().manual_seed(0))
    assert drawn.shape == (2000, 1, 1, 1)
    assert 0.5 <= drawn.min() < 0.51
    assert 0.69 < drawn.max() <= 0.7
