"""`overtone train RECIPE`: a certified checkpoint or weights, and a record of the run."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from overtone.frequency import THREE_LAYERS
from overtone.models import load
from overtone.training import weights
from overtone.training.evaluation.evaluate import evaluate
from overtone.training.recipe import Recipe, RecipeError
from overtone.training.train import numbers, train
from overtone.training.trainer import Trainer
from tests.training.runs import BASELINE, cascade, recipe


def test_a_cascade_becomes_a_certified_checkpoint(
    trained: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, card = load(trained)
    assert not model.training
    assert card.classes == ("cold", "warm")
    assert card.training is not None
    assert (card.training.images, card.training.calibration_images) == (22, 2)
    assert card.accuracy[0].n == 6
    stored = load_file(trained)
    assert stored["low_body.stages.0.0.conv1.0.weight"].dtype == torch.float16
    assert stored["low_norm.mean"].dtype == torch.float32
    capsys.readouterr()
    evaluate(str(trained), images, as_json=True, device="cpu")
    found = json.loads(capsys.readouterr().out)
    assert (found["n"], found["size"]) == (6, 64)
    assert found["cascade"]["top1"] == card.accuracy[0].cascade
    assert found["cascade"]["mean_payload_bytes"] == card.accuracy[0].mean_bytes
    run = json.loads((trained.parent / "run.json").read_text())
    assert [r["quality"] for r in run["results"]] == list(card.profile.qualities)
    default = next(r for r in run["results"] if r["default"])
    assert [layer["top1"] for layer in default["layers"]] == list(card.accuracy[0].top1)
    assert default["cascade"]["top1"] == card.accuracy[0].cascade
    assert default["step"] == card.profile.low_steps(card.profile.quality)[0]
    assert run["cost"]["low_macs"] == card.cost.low_macs


def test_a_recipe_chooses_its_ladder(images: Path, tmp_path: Path) -> None:
    chosen = cascade(epochs=(1, 1))
    chosen = chosen.changed(quality=chosen.quality.model_dump() | {"ladder": THREE_LAYERS})
    _, card = load(train(chosen, images, tmp_path, workers=0, device="cpu"))
    assert card.profile.ladder == THREE_LAYERS
    assert len(card.temperatures) == 3
    assert all(len(point.thresholds) == 2 for point in card.operating_points)
    (found,) = card.accuracy
    assert len(found.top1) == len(found.sizes) == len(found.shares) == 3
    run = json.loads((tmp_path / "run.json").read_text())
    assert all(len(result["layers"]) == 3 for result in run["results"])


def test_a_single_network_becomes_weights(images: Path, tmp_path: Path) -> None:
    chosen = recipe(BASELINE, (1,)).changed(seed=5)
    path = train(chosen, images, tmp_path, workers=0, device="cpu")
    trained = weights.load(path)
    assert (trained.classes, trained.recipe) == (("cold", "warm"), chosen)
    run = json.loads((tmp_path / "run.json").read_text())
    assert Recipe.model_validate(run["recipe"]) == chosen
    assert (run["name"], run["data"], run["seed"]) == ("tiny", images.name, 5)
    assert (run["images"], run["calibration_images"]) == (22, 2)
    assert run["seconds"] == sum(e["seconds"] for e in run["epochs"]) > 0
    (result,) = run["results"]
    assert (result["data"], result["n"], result["step"], result["top5"]) == (f"{images.name}/val", 6, None, 1)
    assert set(run["cost"]) == {"parameters", "macs", "low_macs", "size"}
    assert set(run["machine"]) == {"processor", "cores", "device"}


def test_a_folder_that_holds_a_run_is_refused(trained: Path, images: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="--resume"):
        train(cascade(), images, trained.parent, workers=0, device="cpu")
    (tmp_path / "file").touch()
    with pytest.raises(RecipeError, match="a run takes a folder"):
        train(cascade(), images, tmp_path / "file", workers=0, device="cpu")


def test_an_interrupt_says_how_to_continue(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: Trainer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "run", interrupted)
    with pytest.raises(KeyboardInterrupt, match="with --resume continues"):
        train(cascade(), images, tmp_path, workers=0, device="cpu")
    with pytest.raises(KeyboardInterrupt, match="the same command continues"):
        train(cascade(), images, tmp_path, resume=True, workers=0, device="cpu")


def test_numbers() -> None:
    assert numbers("28,30", "--epochs", "numbers") == (28, 30)
    assert numbers(None, "--epochs", "numbers") is None
    for text in ("many", "", "3,0", "-3"):
        with pytest.raises(RecipeError, match=f"^--bytes {text}: give numbers$"):
            numbers(text, "--bytes", "numbers")
    assert numbers("0,5", "--epochs", "numbers", least=0) == (0, 5)
