"""`overtone train average` on two tiny checkpoints."""

from pathlib import Path

import pytest
import torch

from overtone.frequency import THREE_LAYERS, TWO_LAYERS, Profile
from overtone.models import CheckpointError, load, read_card, save
from overtone.training.average import average, compute_statistics, mean
from overtone.training.data import read_split
from tests.ladders import with_ladder


@pytest.fixture
def pair(two_class_checkpoint: Path, tmp_path: Path) -> list[str]:
    """A checkpoint, and another one whose weights are a step away."""
    model, card = load(two_class_checkpoint)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.25)
    save(tmp_path / "second.safetensors", model, card, half=False)
    return [str(two_class_checkpoint), str(tmp_path / "second.safetensors")]


def test_the_mean_of_weights_with_statistics_of_its_own(
    pair: list[str], images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mean.safetensors"
    card = average(pair, images, out)
    assert read_card(out) == card
    first, made = load(pair[0])[0].state_dict(), load(out)[0].state_dict()
    weight = "low_head.linear.weight"
    torch.testing.assert_close(made[weight], first[weight] + 0.125, atol=1e-3, rtol=1e-3)
    variances = [key for key in first if key.endswith("running_var")]
    assert any((first[key] - made[key]).abs().max() > 1e-3 for key in variances)
    assert {point.quality for point in card.operating_points} == set(card.profile.qualities)


def test_statistics_are_those_of_all_layers(
    two_class_checkpoint: Path, images: Path, tiny_profile: Profile
) -> None:
    """A coarse first layer changes what the low network's normalisations see; high's see the same values."""
    train = read_split(images, "train")
    found = []
    for ladder in (TWO_LAYERS, THREE_LAYERS):
        model, _ = load(two_class_checkpoint)
        compute_statistics(model, train, with_ladder(tiny_profile, ladder))
        found.append(model.state_dict())
    two, three = found
    low, high = "low_body.stages.0.0.conv1.1.running_mean", "high_stem.1.running_mean"
    assert not torch.equal(two[low], three[low])
    torch.testing.assert_close(two[high], three[high])


def test_counts_are_not_averaged() -> None:
    states = [{"w": torch.tensor([float(i)]), "n": torch.tensor(i)} for i in (1, 2)]
    assert mean(states) == {"w": torch.tensor([1.5]), "n": torch.tensor(2)}


def test_networks_that_have_no_mean(pair: list[str], images: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="two checkpoints or more"):
        average(pair[:1], images, tmp_path / "out.safetensors")
    with pytest.raises(CheckpointError, match="other classes"):
        average([pair[0], "imagenette"], images, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()
