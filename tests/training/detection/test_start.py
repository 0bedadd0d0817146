from pathlib import Path

import pytest
import torch

from overtone.models.detection.detector import build
from overtone.training.detection.detector_file import TrainedDetector, save
from overtone.training.detection.start import start
from overtone.training.network_configs import StartError
from tests.training.detection.tiny_recipe import recipe, twin

CLASSES = ("green", "blue")


def test_a_twin_takes_the_weights_of_a_cascades_high_network(tmp_path: Path) -> None:
    cascade, file = build(recipe().network.architecture(len(CLASSES))), tmp_path / "cascade.safetensors"
    save(file, TrainedDetector(cascade, recipe(), CLASSES, None))
    detector = build(twin().network.architecture(len(CLASSES)))
    start(detector, str(file), (None,))
    theirs = cascade.state_dict()
    for name, value in detector.state_dict().items():
        # Files hold most weights as float16.
        torch.testing.assert_close(
            value, theirs[name.replace("network.", "high_network.", 1)], atol=1e-3, rtol=1e-3
        )


def test_a_cascade_takes_nothing_of_a_twin(tmp_path: Path) -> None:
    file = tmp_path / "twin.safetensors"
    save(file, TrainedDetector(build(twin().network.architecture(len(CLASSES))), twin(), CLASSES, None))
    with pytest.raises(StartError, match="nothing in it fits"):
        start(build(recipe().network.architecture(len(CLASSES))), str(file), (None, None))
