"""`overtone train average` on two tiny checkpoints."""

from pathlib import Path

import pytest
import torch

from overtone.models import CheckpointError, load, read_card, save
from overtone.training.average import average, mean


@pytest.fixture
def pair(tiny_checkpoint: Path, picture_folder: Path, tmp_path: Path) -> list[str]:
    """The tiny checkpoint with the picture folder's classes, and another one a step away from it."""
    model, card = load(str(tiny_checkpoint))
    card = card.model_copy(update={"classes": ("cold", "warm", *card.classes[2:])})
    save(tmp_path / "first.safetensors", model, card, half=False)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.25)
    save(tmp_path / "second.safetensors", model, card, half=False)
    return [str(tmp_path / "first.safetensors"), str(tmp_path / "second.safetensors")]


def test_the_mean_of_weights_with_statistics_of_its_own(
    pair: list[str], picture_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mean.safetensors"
    card = average(pair, picture_folder, out)
    assert read_card(out) == card
    first, made = load(pair[0])[0].state_dict(), load(out)[0].state_dict()
    weight = "low_head.linear.weight"
    torch.testing.assert_close(made[weight], first[weight] + 0.125, atol=1e-3, rtol=1e-3)
    variances = [key for key in first if key.endswith("running_var")]
    assert variances
    assert any((first[key] - made[key]).abs().max() > 1e-3 for key in variances)
    assert {point.quality for point in card.operating_points} == set(card.profile.qualities)


def test_counts_are_not_averaged() -> None:
    states = [
        {"w": torch.tensor([1.0]), "n": torch.tensor(3)},
        {"w": torch.tensor([2.0]), "n": torch.tensor(8)},
    ]
    assert mean(states) == {"w": torch.tensor([1.5]), "n": torch.tensor(8)}


def test_networks_that_have_no_mean(pair: list[str], picture_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="two checkpoints or more"):
        average(pair[:1], picture_folder, tmp_path / "out.safetensors")
    with pytest.raises(CheckpointError, match="other classes"):
        average([pair[0], "imagenette"], picture_folder, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()
