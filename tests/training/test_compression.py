"""Pictures as they come out of a codec, and a network that starts from a cascade and is trained on them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from overtone.models import CheckpointError, checkpoint, load
from overtone.models.patch import PatchResNet, from_cascade
from overtone.training import weights
from overtone.training.compression import Compressed, Compression, Setting, through
from overtone.training.data import Augmentation
from overtone.training.kinds import Patch
from overtone.training.recipe import Recipe, load_recipe
from overtone.training.resume import ResumeError
from overtone.training.single import evaluate_single
from overtone.training.systems import Single
from tests.training import runs

MIX = Compression(qualities={"jpeg": (10, 60), "webp": (0, 60), "avif": (20, 60)}, sides=(32, 48))
NETWORK = Patch(kind="patch", width=1 / 16, stem=16, layers=runs.LAYERS)


def recipe(**changes: object) -> Recipe:
    base = runs.recipe(NETWORK, (1,)).model_dump()
    return Recipe.model_validate(base | {"size": 36, "progressive": (), "compression": MIX} | changes)


@pytest.fixture
def picture(photograph: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(photograph.copy())


def test_settings_are_drawn_from_all_there_are() -> None:
    rng = np.random.default_rng(0)
    drawn = [MIX.draw(rng) for _ in range(300)]
    assert {s.side for s in drawn} == {32, 48}
    for codec, (low, high) in MIX.qualities.items():
        qualities = [s.quality for s in drawn if s.codec == codec]
        assert len(qualities) > 60
        assert low <= min(qualities) < low + 8
        assert high - 8 < max(qualities) <= high


def test_the_same_seed_gives_the_same_picture(picture: torch.Tensor) -> None:
    augment = Compressed(Augmentation(), MIX)
    first, again, other = (augment(picture, 36, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.shape == (3, 36, 36)
    assert first.dtype == torch.uint8
    torch.testing.assert_close(first, again)
    assert not torch.equal(first, other)


def test_coarse_settings_lose_more(photograph: NDArray[np.uint8]) -> None:
    for codec in ("jpeg", "webp", "avif"):
        errors = [np.abs(through(photograph, codec, q).astype(int) - photograph).mean() for q in (5, 80)]
        assert errors[0] > errors[1] > 0


def test_is_scored_at_the_middle(photograph: NDArray[np.uint8]) -> None:
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
        ({"network": {"kind": "resnet50", "input": 24}, "size": 32}, "RGB"),
        ({"network": {"kind": "resnet50", "input": "rgb"}}, "multiple of 8"),
        ({"compression": {"qualities": {"webp": (60, 10)}, "sides": (32,)}}, "lower first"),
        ({"compression": {"qualities": {"webp": (0, 60)}, "sides": (4,)}}, "8 or more"),
        ({"compression": {"qualities": {"gif": (0, 60)}, "sides": (32,)}}, "jpeg"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        recipe(**changes)


def test_rivals_are_of_our_networks_and_of_the_paper_s() -> None:
    assert load_recipe("rival").network == Patch(kind="patch")
    assert load_recipe("rival").start == "imagenette"
    assert load_recipe("rival-resnet50").compression == load_recipe("rival").compression


def test_starts_from_a_cascade(tiny_checkpoint: Path, picture_folder: Path, tmp_path: Path) -> None:
    """Everything but the classifier, which is learned anew for other classes."""
    chosen = recipe(start=str(tiny_checkpoint))
    trainer = runs.trainer(chosen, picture_folder, tmp_path / "run")
    trainer._start(chosen.start)
    mine, theirs = trainer.system.module.state_dict(), from_cascade(load(tiny_checkpoint)[0]).state_dict()
    same = {k for k in mine if mine[k].shape == theirs[k].shape and torch.equal(mine[k], theirs[k])}
    assert set(mine) - same == {"head.linear.weight", "head.linear.bias"}


def test_another_width_is_refused(tiny_checkpoint: Path, picture_folder: Path, tmp_path: Path) -> None:
    wide = NETWORK.model_copy(update={"width": 1 / 8})
    trainer = runs.trainer(recipe(network=wide), picture_folder, tmp_path / "run")
    with pytest.raises(ResumeError, match="another network"):
        trainer._start(str(tiny_checkpoint))
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        trainer._start("nothing")


def test_is_trained_saved_in_half_and_evaluated(
    tiny_checkpoint: Path, picture_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = recipe(start=str(tiny_checkpoint))
    trainer = runs.trainer(chosen, picture_folder, tmp_path / "run")
    system = trainer.run()
    assert isinstance(system, Single)
    assert isinstance(system.module, PatchResNet)
    whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    weights.save(whole, system, chosen, trainer.train.classes)
    weights.bundle(whole, half)
    assert half.stat().st_size < 0.7 * whole.stat().st_size
    found = weights.load(half).system.module.state_dict()
    for key, value in system.module.state_dict().items():
        torch.testing.assert_close(found[key], value, rtol=1e-3, atol=1e-4)
    evaluate_single(half, picture_folder, "val", True, 0, runs.CPU)
    assert '"n": 6' in capsys.readouterr().out


def test_rivals_are_found_by_name_or_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "SOURCE", tmp_path)
    with pytest.raises(weights.WeightsError, match="overtone train baseline"):
        weights.find_baseline("flowers")
    path = tmp_path / "baseline-flowers.safetensors"
    path.touch()
    assert weights.find_baseline("flowers") == weights.find_baseline(str(path)) == path
