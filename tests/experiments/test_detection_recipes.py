from pathlib import Path

import pytest
import torch

import experiments
from overtone.models.detection.detector import build
from overtone.training.detection.recipe import load_detection_recipe

FOLDER = Path(str(experiments.__file__)).parent / "detection_recipes"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_the_papers_detectors_have_their_sizes(path: Path) -> None:
    recipe = load_detection_recipe(str(path))
    with torch.device("meta"):
        network = build(recipe.network.architecture(80)).networks[-1]
    assert network.features.strides == (4, 8, 16, 32)
    assert network.features.channels == (256, 512, 1024, 2048)
    count = sum(p.numel() for p in network.parameters()) / 1e6
    # torchvision's on RGB have 41.8 and 44.4 million, less a stem.
    assert count == pytest.approx(44.4 if network.head.masks else 41.8, abs=0.5)
