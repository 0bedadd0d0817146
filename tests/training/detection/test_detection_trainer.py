import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from overtone.models import BodyArchitecture, BodyCascade, load
from overtone.models import save as save_checkpoint
from overtone.models.detection.features import ResNetFeatures
from overtone.training.detection.detection_trainer import DetectionTrainer
from overtone.training.detection.detector_file import TrainedDetector, save
from overtone.training.detection.log import DetectionEpoch
from overtone.training.detection.pictures import held_out, read_coco
from overtone.training.detection.recipe import DetectionRecipe, DetectorConfig
from overtone.training.network_configs import StartError
from overtone.training.quality import Quality
from overtone.training.resume import ResumeError
from overtone.training.run_log import read_lines
from tests.models.detection.tiny_detector import HEAD, HIGH, LOW
from tests.training.detection.rectangles import rectangles
from tests.training.detection.tiny_recipe import STILL, recipe, twin
from tests.training.runs import CPU, InterruptError, assert_same


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rectangles(tmp_path_factory.mktemp("rectangles") / "data", train=12, masks=True)


def trainer(
    chosen: DetectionRecipe,
    data: Path,
    folder: Path,
    on_epoch: Callable[[DetectionEpoch], object] = lambda line: None,
) -> DetectionTrainer:
    train, calibration = held_out(read_coco(data / "train", data / "train.json"), 0.25)
    return DetectionTrainer(chosen, train, calibration, folder, CPU, 0, on_epoch)


def log(folder: Path) -> list[DetectionEpoch]:
    return list(read_lines(folder / "log.jsonl", DetectionEpoch))


@pytest.mark.slow
def test_two_pictures_are_learned_by_heart(tmp_path: Path) -> None:
    """A network learns where the rectangles of two pictures are, and finds them in these pictures again."""
    root = rectangles(tmp_path / "data", train=2)
    two = read_coco(root / "train", root / "train.json")
    chosen = recipe((20, 0), lr=2e-3, batch=2, warmup=1, weight_decay=0.0).model_copy(
        update={"augment": STILL, "progressive": (), "quality": Quality(steps=(16,))}
    )
    DetectionTrainer(chosen, two.take([0, 1] * 6), two, tmp_path / "run", CPU, 0).run()
    first, *_, last = log(tmp_path / "run")
    assert last.loss < first.loss / 2
    assert last.calibration_ap50 is not None
    assert last.calibration_ap50 > 0.5


def test_a_network_on_coefficients_is_given_their_statistics(data: Path, tmp_path: Path) -> None:
    features = ResNetFeatures(width=1 / 16, stem=8, layers=(1, 1, 1, 1), pixels=8)
    network = DetectorConfig(low=features, high=features, head=HEAD)
    state = trainer(recipe((1, 0)).model_copy(update={"network": network}), data, tmp_path).run().state_dict()
    low, high = (state[f"{band}_network.features.stem.0.std"].flatten() for band in ("low", "high"))
    assert (low > 1).all()
    torch.testing.assert_close(low, high[: len(low)])


def test_a_resumed_run_is_the_uninterrupted_one(data: Path, tmp_path: Path) -> None:
    chosen = recipe((2, 2), masks=True, thaw=0.5)
    whole = dict(trainer(chosen, data, tmp_path / "whole").run().state_dict())
    left = iter([1, 1, 0])

    def interrupt(_: DetectionEpoch) -> None:
        if not next(left):
            raise InterruptError

    with pytest.raises(InterruptError):
        trainer(chosen, data, tmp_path / "parts", interrupt).run()
    assert_same(whole, dict(trainer(chosen, data, tmp_path / "parts").run().state_dict()))
    logs = [[(e.step, e.epoch, e.losses) for e in log(tmp_path / name)] for name in ("whole", "parts")]
    assert logs[0] == logs[1]
    assert [(step, epoch) for step, epoch, _ in logs[0]] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    with pytest.raises(ResumeError, match="another recipe"):
        trainer(recipe((3, 2)), data, tmp_path / "parts").run()


def test_a_run_of_an_earlier_version_is_resumed(data: Path, tmp_path: Path) -> None:
    """Its recipe has no `regions`, with which its high network is trained now."""

    def interrupt(_: DetectionEpoch) -> None:
        raise InterruptError

    with pytest.raises(InterruptError):
        trainer(recipe(), data, tmp_path, interrupt).run()
    path = tmp_path / "last.safetensors"
    with safe_open(path, "pt") as file:
        tensors, meta = {k: file.get_tensor(k) for k in file.keys()}, file.metadata()  # noqa: SIM118
    old = {k: v for k, v in json.loads(meta["recipe"]).items() if k not in ("regions", "compression")}
    save_file(tensors, path, meta | {"recipe": json.dumps(old)})
    trainer(recipe().model_copy(update={"regions": 1.0}), data, tmp_path).run()
    assert [(line.step, line.epoch) for line in log(tmp_path)] == [(0, 0), (1, 0)]


def test_each_step_trains_its_own_network_and_leaves_what_is_frozen(data: Path, tmp_path: Path) -> None:
    chosen = recipe((1, 0)).model_copy(update={"frozen_stages": 2, "frozen_norms": True})
    made = trainer(chosen, data, tmp_path)
    before = {k: v.clone() for k, v in made.detector.state_dict().items()}
    after = made.run().state_dict()
    same = {k for k, v in after.items() if torch.equal(v, before[k])}
    changed = set(after) - same
    assert all(k.startswith("low_network.") for k in changed)
    body = "low_network.features.network."
    early = [k for k in after if k.startswith((f"{body}conv_stem", f"{body}blocks.0", f"{body}blocks.1"))]
    assert early
    assert set(early) <= same
    assert {k for k in after if "running_" in k or "num_batches" in k} <= same
    assert f"{body}blocks.4.0.conv_pw.weight" in changed
    assert "low_network.pyramid.inner_blocks.0.0.weight" in changed


def test_new_parts_are_trained_first(data: Path, tmp_path: Path) -> None:
    made = trainer(recipe((1, 0), thaw=0.9, frozen_lr=1e-3), data, tmp_path)
    name = "low_network.features.network.conv_stem.weight"
    before = made.detector.state_dict()[name].clone()
    assert torch.equal(made.run().state_dict()[name], before)
    assert log(tmp_path)[0].lr == 1e-3


def test_the_twin_trains(data: Path, tmp_path: Path) -> None:
    trainer(twin(), data, tmp_path).run()
    (line,) = log(tmp_path)
    assert line.calibration_ap50 is not None
    assert "calibration AP50" in str(line)
    assert line.scalars()["loss/classifier"] == line.losses["classifier"]


def test_bodies_of_a_cascade_are_what_a_detector_starts_with(
    tmp_path: Path, data: Path, tiny_checkpoint: Path
) -> None:
    cascade = BodyCascade(BodyArchitecture(classes=10, low=LOW.body, high=HIGH.body))
    checkpoint = tmp_path / "bodies.safetensors"
    card = load(tiny_checkpoint)[1].model_copy(update={"architecture": cascade.architecture})
    save_checkpoint(checkpoint, cascade, card, half=False)
    chosen = recipe()
    made = trainer(
        chosen.model_copy(update={"start": str(checkpoint), "epochs": (1, 0)}), data, tmp_path / "run"
    )
    made.on_epoch = _stop
    with pytest.raises(InterruptError):
        made.run()
    mine, theirs = made.detector.state_dict(), cascade.state_dict()
    # The low network has been trained since.
    names = [name for name in mine if name.startswith("high_network.features.network.")]
    assert names
    for name in names:
        torch.testing.assert_close(mine[name], theirs[name.replace("features.", "")])


def test_a_detector_starts_from_another_whatever_its_classes(tmp_path: Path, data: Path) -> None:
    chosen = recipe((1, 0))
    first = trainer(chosen, data, tmp_path / "first").run()
    file = tmp_path / "first.safetensors"
    save(file, TrainedDetector(first, chosen, ("red", "blue"), None))
    second = trainer(chosen.model_copy(update={"start": str(file)}), data, tmp_path / "second", _stop)
    with pytest.raises(InterruptError):
        second.run()
    ours, theirs = (
        d.state_dict()["high_network.pyramid.inner_blocks.0.0.weight"] for d in (second.detector, first)
    )
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=0)


def test_a_checkpoint_without_the_bodies_is_refused(
    tmp_path: Path, data: Path, tiny_checkpoint: Path
) -> None:
    with pytest.raises(StartError, match="has no body mobilenetv3_small_050; it has none"):
        trainer(recipe().model_copy(update={"start": str(tiny_checkpoint)}), data, tmp_path).run()


def _stop(_: DetectionEpoch) -> None:
    raise InterruptError
