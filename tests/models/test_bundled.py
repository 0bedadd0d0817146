"""What comes with the package is whole, and is what its card says."""

from pathlib import Path

import pytest
import torch

from overtone.models import bundled, cost, load, read_card
from overtone.models.checkpoint import task_of
from overtone.models.detection.checkpoint import load_detector

NAMES = sorted(name for name in bundled() if task_of(name) == "classify")
DETECTORS = sorted(bundled().keys() - set(NAMES))
DECISIONS = Path(__file__).parents[2] / "docs" / "decisions.md"


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
    assert bundled()[name].stat().st_size <= 25e6


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detectors_card_fits_its_weights(name: str) -> None:
    detector, card = load_detector(name)
    assert card.name == name
    assert card.classes == card.profile.labels
    assert detector.architecture.classes == len(card.classes)
    assert all(torch.isfinite(v).all() for v in detector.state_dict().values())
    assert {p.name for p in card.operating_points} >= {"careful", "balanced", "thrifty"}
    assert bundled()[name].stat().st_size <= 40e6


@pytest.mark.parametrize("name", NAMES)
def test_the_decisions_say_how_it_answers(name: str) -> None:
    """docs/decisions.md and the card agree on whether low's logits are mixed into the high answer."""
    mix, text = read_card(name).mix, " ".join(DECISIONS.read_text("utf-8").split())
    if mix:
        assert f"`{name}` mixes {mix.low:.2f} low + {mix.high:.2f} high" in text
    else:
        sentence = text[: text.index("answer with high's logits alone")].rpartition(". ")[2]
        assert f"`{name}`" in sentence


def test_imagenette_keeps_what_the_readme_says() -> None:
    found = read_card("imagenette").accuracy[0]
    assert found.n == 3925
    assert found.top1[0] >= 0.78
    assert found.cascade >= 0.82
    assert found.mean_bytes <= 1800


@pytest.mark.data
def test_accuracy_on_real_images(data_folder: Path) -> None:
    """A sample of val, through the codec: within five standard errors of the card."""
    from overtone.training.data import read_split
    from overtone.training.evaluation.predictions import predict
    from overtone.training.evaluation.stopping import Rule

    model, card = load("imagenette")
    stated = card.accuracy[0]
    sample = read_split(data_folder, "val", card.classes, card.profile.labels).spread(200)
    p = predict(model, sample, card.profile, stated.quality)
    found = p.summary(p.layers_taken(card.temperatures, Rule.of(card.point())))
    margin = 5 * (0.25 / len(sample)) ** 0.5
    assert found.cascade == pytest.approx(stated.cascade, abs=margin)
    assert found.top1 == pytest.approx(stated.top1, abs=margin)
    assert found.mean_bytes == pytest.approx(stated.mean_bytes, rel=0.15)
