import torch

from overtone.training.inputs import Inputs
from overtone.training.recipe import Quality
from tests.training.tiny_bodies import TABLE


def test_places_between_rows() -> None:
    found = TABLE.at(torch.tensor([0.0, 0.5, 2.0]))
    steps, thresholds = found.steps[:, :, 0, 0], found.thresholds.flatten()
    torch.testing.assert_close(steps[0], torch.full((24,), 90.0))
    torch.testing.assert_close(steps[1, 0], torch.tensor((90.0 * 60) ** 0.5))
    torch.testing.assert_close(steps[2], torch.full((24,), 20.0))
    torch.testing.assert_close(thresholds, torch.tensor([0.6, 0.58, 0.5]))


def test_draws_cover_all_rows_and_favour_coarse_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    steps = TABLE.draw(4000, generator).steps[:, 0, 0, 0]
    assert float(steps.max()) > 90
    assert float(steps.min()) < 20
    middle = float(TABLE.at(torch.tensor([0.95])).steps[0, 0, 0, 0])
    assert 0.55 < float((steps > middle).float().mean()) < 0.7


def test_the_middle_quality_is_scored() -> None:
    inputs = Inputs(tuple(range(24)), Quality(table=TABLE), torch.device("cpu"))
    assert isinstance(inputs.middle, torch.Tensor)
    assert inputs.middle.flatten().tolist() == list(TABLE.steps[1])
