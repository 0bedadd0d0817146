"""A tiny network through both steps, whole and interrupted."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from models import load
from training import commands
from training.data import part, split
from training.evaluate import evaluate
from training.recipe import Augment, Network, Optimiser, Quality, Recipe, RecipeError
from training.trainer import Trainer, epochs_of

CPU = torch.device("cpu")


def tiny(structure: int = 3, ema: float = 0.5, epochs: tuple[int, int] = (2, 2)) -> Recipe:
    return Recipe(
        name="tiny",
        size=64,
        epochs=epochs,
        progressive=((0.5, 48),),
        network=Network(
            structure=structure, low_width=1 / 16, high_width=1 / 16, stem=8, layers=(1, 1, 1, 1)
        ),
        optimiser=Optimiser(lr=0.05, batch=8, warmup=0.5, label_smoothing=0.1, ema=ema),
        augment=Augment(scale=(0.5, 1.0)),
        quality=Quality(steps=(64, 32)),
    )


def trainer(recipe: Recipe, pictures: Path, folder: Path) -> Trainer:
    train, calibration = split(part(pictures, "train"), 0.25)
    return Trainer(recipe, train, calibration, folder, CPU, workers=0)


class CutError(Exception):
    pass


@pytest.mark.parametrize("ema", [0.0, 0.5])
@pytest.mark.parametrize("after", [1, 2, 3])
def test_resumed_equals_uninterrupted(picture_folder: Path, tmp_path: Path, ema: float, after: int) -> None:
    whole = trainer(tiny(ema=ema), picture_folder, tmp_path / "whole").run().state_dict()

    broken = trainer(tiny(ema=ema), picture_folder, tmp_path / "broken")
    finished = 0
    epoch = broken._epoch

    def counted(*arguments: object) -> object:
        nonlocal finished
        if finished == after:
            raise CutError
        finished += 1
        return epoch(*arguments)  # type: ignore[arg-type]

    broken._epoch = counted  # type: ignore[assignment, method-assign]
    with pytest.raises(CutError):
        broken.run()
    resumed = trainer(tiny(ema=ema), picture_folder, tmp_path / "broken").run().state_dict()
    assert whole.keys() == resumed.keys()
    for key, value in whole.items():
        torch.testing.assert_close(resumed[key], value, rtol=0, atol=0)


def test_finished_run_is_not_trained_again(picture_folder: Path, tmp_path: Path) -> None:
    first = trainer(tiny(), picture_folder, tmp_path / "run").run().state_dict()
    again = trainer(tiny(), picture_folder, tmp_path / "run").run().state_dict()
    for key, value in first.items():
        torch.testing.assert_close(again[key], value, rtol=0, atol=0)
    log = list(epochs_of(tmp_path / "run" / "log.jsonl"))
    assert [(e.step, e.epoch, e.size) for e in log] == [(0, 0, 48), (0, 1, 64), (1, 0, 48), (1, 1, 64)]


@pytest.mark.parametrize("structure", [1, 2, 3])
def test_second_step_leaves_the_first_alone(structure: int, picture_folder: Path, tmp_path: Path) -> None:
    network = trainer(tiny(structure, ema=0.0), picture_folder, tmp_path / "run")
    kept: dict[str, torch.Tensor] = {}
    step = network._step

    def watched(number: int, restored: object) -> None:
        if number == 1:
            frozen = {id(t) for m in network.model.steps()[0] for t in m.state_dict(keep_vars=True).values()}
            state = network.model.state_dict(keep_vars=True)
            kept.update({k: v.detach().clone() for k, v in state.items() if id(v) in frozen})
        step(number, restored)  # type: ignore[arg-type]

    network._step = watched  # type: ignore[method-assign, assignment]
    after = network.run().state_dict()
    assert kept
    for key, value in kept.items():
        torch.testing.assert_close(after[key], value, rtol=0, atol=0)
    trained = {k for k in after if k not in kept and "norm" not in k}
    assert trained


def test_normalisation_is_that_of_the_coefficients(picture_folder: Path, tmp_path: Path) -> None:
    network = trainer(tiny(epochs=(0, 0)), picture_folder, tmp_path / "run")
    model = network.run()
    rgb = torch.stack([network_input for network_input, _ in _pictures(network)])
    normalised = model.low_norm(network.dct(rgb)[:, :6])
    torch.testing.assert_close(normalised.mean(dim=(0, 2, 3)), torch.zeros(6), atol=1e-3, rtol=0)
    torch.testing.assert_close(normalised.std(dim=(0, 2, 3)), torch.ones(6), atol=1e-2, rtol=0)


def _pictures(network: Trainer) -> list[tuple[torch.Tensor, int]]:
    from training.data import TestSet

    return [TestSet(network.train, 64)[i] for i in range(len(network.train))]


@pytest.mark.parametrize("better", ["last", "mean"])
def test_the_better_of_last_and_averaged_weights_is_kept(
    better: str, picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = trainer(tiny(epochs=(1, 0)), picture_folder, tmp_path / "run")
    score = {"last": (1.0, 0.5), "mean": (0.5, 1.0)}[better]
    monkeypatch.setattr(network, "_score", lambda _, model: score[model is not network.model])
    kept = network.run().state_dict()
    saved = load_file(tmp_path / "run" / "last.safetensors")
    prefix = {"last": "model.", "mean": "ema.module."}[better]
    key = "high_body.stages.0.0.conv1.0.weight"
    torch.testing.assert_close(kept[key], saved[prefix + key], rtol=0, atol=0)
    assert not torch.equal(saved["model." + key], saved["ema.module." + key])


def test_another_recipe_is_refused(picture_folder: Path, tmp_path: Path) -> None:
    trainer(tiny(epochs=(1, 0)), picture_folder, tmp_path / "run").run()
    with pytest.raises(ValueError, match="another recipe"):
        trainer(tiny(epochs=(3, 3)), picture_folder, tmp_path / "run").run()


def test_train_command_writes_a_certified_checkpoint(
    picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(commands, "load_recipe", lambda name: tiny())
    out = tmp_path / "run"
    path = commands.train("tiny", picture_folder, out, workers=0, device="cpu")
    model, card = load(path)
    assert card.classes == ("cold", "warm")
    assert card.training is not None
    assert card.training.images == 22
    assert card.training.calibration_images == 2
    assert card.accuracy[0].n == 6
    weights = load_file(path)
    assert weights["low_body.stages.0.0.conv1.0.weight"].dtype == torch.float16
    assert weights["low_norm.mean"].dtype == torch.float32
    with pytest.raises(RecipeError, match="--resume"):
        commands.train("tiny", picture_folder, out, workers=0, device="cpu")
    capsys.readouterr()
    evaluate(str(path), picture_folder, as_json=True, device="cpu")
    found = json.loads(capsys.readouterr().out)
    assert found["n"] == 6
    assert found["size"] == 64
    assert found["cascade"]["top1"] == card.accuracy[0].cascade
    assert found["cascade"]["mean_payload_bytes"] == card.accuracy[0].mean_bytes
    assert set(found["cascade"]) >= {"top1", "exit_share", "mean_payload_bytes"}
    assert not model.training
