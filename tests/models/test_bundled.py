"""What comes with the package is whole, and is what its card says."""

from pathlib import Path

import pytest
import torch

from overtone.models import bundled, cost, load, read_card

NAMES = sorted(bundled())


def test_something_is_bundled() -> None:
    assert "imagenette" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_card_fits_the_weights(name: str) -> None:
    model, card = load(name)
    assert card.name == name
    counted = cost(model, card.profile.size)
    assert (counted.parameters, counted.low_macs, counted.macs) == (
        card.cost.parameters,
        card.cost.low_macs,
        card.cost.macs,
    )
    assert len(card.classes) == len(card.profile.labels) == model.architecture.classes
    assert all(torch.isfinite(v).all() for v in model.state_dict().values())
    assert {p.name for p in card.operating_points} >= {"careful", "balanced", "thrifty"}


def test_imagenette_keeps_what_the_readme_says() -> None:
    card = read_card("imagenette")
    if not card.accuracy:
        pytest.skip("not measured since its tables were fitted again: overtone evaluate")
    found = card.accuracy[0]
    assert found.n == 3925
    assert found.low >= 0.78
    assert found.cascade >= 0.82
    assert found.mean_bytes <= 1800


@pytest.mark.data
def test_accuracy_on_real_pictures(data_folder: Path) -> None:
    """A sample of val, through the codec: within five standard errors of the card."""
    from overtone.training.calibrate import modes
    from overtone.training.data import part
    from overtone.training.predict import predict

    model, card = load("imagenette")
    if not card.accuracy:
        pytest.skip("not measured since its tables were fitted again: overtone evaluate")
    pictures = part(data_folder, "val", card.classes, card.profile.labels)
    sample = pictures.take(range(0, len(pictures), max(1, len(pictures) // 200)))
    said = card.accuracy[0]
    found = modes(
        predict(model, sample, card.profile, said.quality),
        card.temperature,
        card.threshold(card.operating_point),
    )
    margin = 5 * (0.25 / len(sample)) ** 0.5
    assert found.cascade == pytest.approx(said.cascade, abs=margin)
    assert found.low == pytest.approx(said.low, abs=margin)
    assert found.mean_bytes == pytest.approx(said.mean_bytes, rel=0.15)
