import pytest
import torch
from pydantic import ValidationError

from overtone.frequency import THREE_LAYERS, Layer, ProfileError
from overtone.frequency.channels import HIGH, LOW
from overtone.training.inputs import Inputs
from overtone.training.quality import Quality
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


ALL = LOW + HIGH
FOUR_LAYERS = (Layer("low", 3), Layer("high", 3), Layer("low", 1), Layer("high", 1))


def test_what_each_network_is_asked_about() -> None:
    two, three, four = (Quality(ladder=x) for x in (Quality().ladder, THREE_LAYERS, FOUR_LAYERS))
    assert two.known_factors("low") == two.known_factors("high") == ((1, 1),)
    assert two.known_factors(None) == three.known_factors(None) == ((1, 1),)
    assert (three.known_factors("low"), three.known_factors("high")) == (((3, 1), (1, 1)), ((1, 1),))
    assert (four.known_factors("low"), four.known_factors("high")) == (((3, 1),), ((3, 3), (1, 3), (1, 1)))


def test_a_ladder_in_a_recipe() -> None:
    written = {"ladder": [["low", 3], ["low", 1], ["high", 1]]}
    quality = Quality.model_validate(written)
    assert quality.ladder == THREE_LAYERS
    assert Quality.model_validate_json(quality.model_dump_json()) == quality
    for wrong in (
        [["low", 3], ["high", 1]],
        [["high", 1], ["low", 1]],
        [["low", 2], ["low", 1], ["high", 1]],
    ):
        with pytest.raises((ValidationError, ProfileError), match="ladder"):
            Quality.model_validate({"ladder": wrong})


@pytest.mark.parametrize(
    "quality", [Quality(table=TABLE, ladder=THREE_LAYERS), Quality(steps=(96, 16), ladder=THREE_LAYERS)]
)
def test_training_covers_the_coarsest_layer(quality: Quality) -> None:
    """Low learns at three times the steps of every quality, the coarsest too, in half of the images."""
    inputs = Inputs(ALL, quality, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    drawn = inputs.draw(4000, generator, quality.known_factors("low"))
    assert drawn is not None
    assert drawn.factors is not None
    low, high = drawn.factors[:, : len(LOW)], drawn.factors[:, len(LOW) :]
    assert set(low.flatten().tolist()) == {1.0, 3.0}
    assert (low == low[:, :1]).all(), "all channels of an image are known alike"
    assert (high == 1).all()
    assert 0.45 < float((low[:, 0] == 3).float().mean()) < 0.55
    known = (drawn.steps * drawn.factors)[:, 0].flatten()
    assert float(known.max()) > 2.9 * max(row[0] for row in quality.rows)
    assert float(known.min()) < 1.1 * min(row[0] for row in quality.rows)
    # High is only ever asked when all is known.
    assert (found := inputs.draw(10, generator, quality.known_factors("high"))) is not None
    assert found.factors is None


def test_two_layers_are_drawn_as_before() -> None:
    inputs = Inputs(ALL, Quality(table=TABLE), torch.device("cpu"))
    one, other = (torch.Generator().manual_seed(5) for _ in range(2))
    drawn = inputs.draw(9, one, Quality().known_factors("low"))
    assert drawn is not None
    torch.testing.assert_close(drawn.steps, TABLE.draw(9, other).steps)
    assert torch.rand(1, generator=one) == torch.rand(1, generator=other)
