import numpy as np
import torch
from numpy.typing import NDArray

from frequency import coefficients
from frequency.channels import HIGH, LOW
from training.transform import BlockDCT, draw_steps, requantise


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
