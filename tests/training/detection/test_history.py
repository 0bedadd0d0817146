from pathlib import Path

import pytest

from overtone.models import Origin, load, save
from overtone.models.detection.detector import Detector, PixelDetector, build
from overtone.training import resume
from overtone.training.detection.detector_file import TrainedDetector
from overtone.training.detection.detector_file import save as save_detector
from overtone.training.detection.history import origin_of, whole_recipe
from overtone.training.detection.recipe import DetectionRecipe
from overtone.training.resume import ActiveStep
from tests.models.detection.tiny_detector import CLASSES
from tests.training.detection.tiny_recipe import recipe


def started(chosen: DetectionRecipe, start: Path | str) -> DetectionRecipe:
    return chosen.model_copy(update={"start": str(start)})


@pytest.fixture(scope="module")
def network() -> Detector | PixelDetector:
    return build(recipe().network.architecture(2))


def test_runs_of_one_network_each_are_one_recipe(
    network: Detector, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    origin = Origin(weights="somebody's", licence="Apache-2.0")
    model, card = load(tiny_checkpoint)
    bodies = tmp_path / "bodies.safetensors"
    save(bodies, model, card.model_copy(update={"origin": origin}))
    low = tmp_path / "low.safetensors"
    save_detector(low, TrainedDetector(network, started(recipe((5, 0)), bodies), CLASSES, None))
    second = started(recipe((0, 7)), low)
    whole = whole_recipe(second, CLASSES)
    assert (whole.epochs, whole.start) == ((5, 7), "bodies")
    assert origin_of(second) == origin


def test_the_saved_state_of_a_run_counts_as_far_as_it_came(network: Detector, tmp_path: Path) -> None:
    chosen, path = recipe((5, 9)), tmp_path / "last.safetensors"
    resume.save(path, chosen.model_dump_json(), network, ActiveStep(0, [], chosen.optimiser.build([])), 4)
    assert whole_recipe(started(recipe((0, 7)), path), CLASSES).epochs == (4, 7)
    assert whole_recipe(started(recipe((1, 0)), path), CLASSES).epochs == (5, 0)


def test_other_classes_or_networks_are_no_part_of_a_recipe(network: Detector, tmp_path: Path) -> None:
    path = tmp_path / "first.safetensors"
    save_detector(path, TrainedDetector(network, recipe((5, 9)), CLASSES, None))
    assert whole_recipe(started(recipe((0, 7)), path), ("green", "blue")).epochs == (0, 7)
    assert whole_recipe(started(recipe((0, 7), masks=True), path), CLASSES).epochs == (0, 7)
    assert whole_recipe(started(recipe((1, 7)), "gone"), CLASSES).start == "gone"
