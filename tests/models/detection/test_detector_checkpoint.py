from pathlib import Path

import pytest
import torch

from overtone.frequency import Profile
from overtone.models import CheckpointError, load, read_card, task_of
from overtone.models.detection.checkpoint import load_detector, read_detector_card, rewrite_detector
from overtone.models.detection.operating_point import DetectionPoint
from tests.models.detection.tiny_detector import MASKS, write_checkpoint


def test_a_detector_is_read_as_it_was_written(tiny_detector: Path, tmp_path: Path) -> None:
    model, card = load_detector(tiny_detector)
    assert task_of(tiny_detector) == card.task == "detect"
    assert not model.training
    assert card.point().name == "default"
    fresh = card.point().model_copy(update={"name": "mine", "alpha": 0.05, "method": "risk control"})
    changed = card.model_copy(update={"operating_points": (fresh, *card.operating_points)})
    rewrite_detector(tiny_detector, changed, tmp_path / "again.safetensors")
    again, found = load_detector(tmp_path / "again.safetensors")
    assert found == changed
    for name, value in again.state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[name])


def test_masks_are_part_of_the_architecture(tiny_profile: Profile, tmp_path: Path) -> None:
    model, _ = load_detector(write_checkpoint(tmp_path / "masks.safetensors", tiny_profile, MASKS))
    with torch.inference_mode():
        assert model.low(torch.zeros(1, 6, 8, 8))[0].masks is not None


def test_a_checkpoint_of_another_task_is_refused(tiny_detector: Path, tiny_checkpoint: Path) -> None:
    assert task_of(tiny_checkpoint) == "classify"
    for read in (load, read_card):
        with pytest.raises(CheckpointError, match=r"its task is detect, but this takes .* is classify"):
            read(tiny_detector)
    with pytest.raises(CheckpointError, match=r"its task is classify, but this takes .* is detect"):
        load_detector(tiny_checkpoint)


def test_a_certificate_of_another_profile_is_refused(tiny_detector: Path, tmp_path: Path) -> None:
    stale = DetectionPoint(name="old", unsure=0.1, profile="00c0ffee")
    card = read_detector_card(tiny_detector).model_copy(update={"operating_points": (stale,)})
    rewrite_detector(tiny_detector, card, tmp_path / "old.safetensors")
    with pytest.raises(CheckpointError, match=r"00c0ffee.*run `overtone calibrate` again"):
        load_detector(tmp_path / "old.safetensors")
    assert load_detector(tmp_path / "old.safetensors", stale=True)[1] == card
