"""Images as they come out of a codec, and a baseline that starts from a cascade and is trained on them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from overtone.models import CheckpointError, checkpoint, load
from overtone.training import weights
from overtone.training.baseline_network import PatchResNet, from_cascade
from overtone.training.compression import Compressed, Compression, Setting, transcoded
from overtone.training.data import Augmentation, DataSet, read_split
from overtone.training.network_configs import StartError
from overtone.training.recipe import Recipe, load_recipe
from overtone.training.train import report_single
from tests.training import runs

MIX = Compression(qualities={"jpeg": (10, 60), "webp": (0, 60), "avif": (20, 60)}, sides=(32, 48))


def recipe(**changes: object) -> Recipe:
    base = runs.recipe(runs.BASELINE, (1,)).model_dump()
    return Recipe.model_validate(base | {"size": 36, "progressive": (), "compression": MIX} | changes)


def test_settings_are_drawn_from_all_there_are() -> None:
    rng = np.random.default_rng(0)
    drawn = [MIX.draw(rng) for _ in range(300)]
    assert {s.side for s in drawn} == {32, 48}
    for codec, (low, high) in MIX.qualities.items():
        qualities = [s.quality for s in drawn if s.codec == codec]
        assert len(qualities) > 60
        assert low <= min(qualities) < low + 8
        assert high - 8 < max(qualities) <= high


def test_the_same_seed_gives_the_same_image(photograph: NDArray[np.uint8]) -> None:
    augment, image = Compressed(Augmentation(), MIX), torch.from_numpy(photograph.copy())
    first, again, other = (augment(image, 36, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (first.shape, first.dtype) == ((3, 36, 36), torch.uint8)
    torch.testing.assert_close(first, again)
    assert not torch.equal(first, other)


def test_coarse_settings_lose_more(photograph: NDArray[np.uint8]) -> None:
    for codec in ("jpeg", "webp", "avif"):
        errors = [np.abs(transcoded(photograph, codec, q).astype(int) - photograph).mean() for q in (5, 80)]
        assert errors[0] > errors[1] > 0


def test_scored_at_the_middle_setting(photograph: NDArray[np.uint8]) -> None:
    opened = Image.fromarray(photograph)
    coarse = MIX.model_copy(update={"middle": Setting(codec="jpeg", side=16, quality=5)})
    seen = [view(opened, 36) for view in (MIX.view, coarse.view)]
    assert [s.shape for s in seen] == [(36, 36, 3)] * 2
    assert not np.array_equal(seen[0], seen[1])
    np.testing.assert_array_equal(seen[0], recipe().view(opened, 36))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": {"kind": "cascade"}, "epochs": (1, 1), "size": 32}, "RGB"),
        ({"size": 38}, "multiple of 4"),
        ({"compression": {"qualities": {"webp": (60, 10)}, "sides": (32,)}}, "lower first"),
        ({"compression": {"qualities": {"webp": (0, 60)}, "sides": (4,)}}, "8 or more"),
        ({"compression": {"qualities": {"gif": (0, 60)}, "sides": (32,)}}, "jpeg"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        recipe(**changes)


def test_starts_from_a_cascade(tiny_checkpoint: Path, images: Path, tmp_path: Path) -> None:
    """Everything is copied but the classifier, which is learned anew for other classes."""
    trainer = runs.trainer(recipe(), images, tmp_path / "run")
    trainer.start(str(tiny_checkpoint))
    mine, theirs = trainer.system.module.state_dict(), from_cascade(load(tiny_checkpoint)[0]).state_dict()
    same = {k for k in mine if mine[k].shape == theirs[k].shape and torch.equal(mine[k], theirs[k])}
    assert set(mine) - same == {"head.linear.weight", "head.linear.bias"}


def test_another_width_is_refused(tiny_checkpoint: Path) -> None:
    wide = runs.BASELINE.model_copy(update={"width": 1 / 8})
    with pytest.raises(StartError, match="different network"):
        wide.start(str(tiny_checkpoint), runs.CPU)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        wide.start("nothing", runs.CPU)


def test_is_trained_saved_in_half_and_scored(
    tiny_checkpoint: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = recipe(start=str(tiny_checkpoint))
    trainer = runs.trainer(chosen, images, tmp_path / "run")
    system = trainer.run()
    assert isinstance(system.module, PatchResNet)
    path = tmp_path / "half.safetensors"
    weights.save(path, system, chosen, trainer.train.classes)
    trained = weights.load(path)
    found, values = trained.system.module.state_dict(), system.module.state_dict()
    assert path.stat().st_size < 0.7 * sum(v.nbytes for v in values.values())
    for key, value in values.items():
        torch.testing.assert_close(found[key], value, rtol=1e-3, atol=1e-4)
    data = DataSet("images", trainer.train, read_split(images, "val"))
    (entry,) = report_single(trained.system, trained.recipe, data, runs.CPU)
    assert (entry["data"], entry["n"], entry["step"]) == ("images/val", 6, None)


def test_baselines_are_found_by_name_or_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundled = weights.load(weights.find_baseline("imagenette"))
    assert isinstance(bundled.system.module, PatchResNet)
    assert bundled.recipe.network == load_recipe("baseline").network
    assert load_recipe("baseline").start == "imagenette"
    monkeypatch.setattr(checkpoint, "SOURCE", tmp_path)
    with pytest.raises(weights.WeightsError, match="overtone train baseline"):
        weights.find_baseline("flowers")
    path = tmp_path / "baseline-flowers.safetensors"
    path.touch()
    assert weights.find_baseline("flowers") == weights.find_baseline(str(path)) == path
    with pytest.raises(weights.WeightsError, match="cannot be read"):
        weights.load(path)
