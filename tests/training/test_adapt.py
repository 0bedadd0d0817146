"""`overtone adapt BODY`, and agreement with the teacher that a card names."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

from overtone.cli import app
from overtone.models import Body, load
from overtone.training.adapt import adapt
from overtone.training.body_config import PRETRAINED
from overtone.training.data import DataError, read_unlabelled
from overtone.training.evaluation.predictions import Predictions
from overtone.training.network_configs import StartError
from overtone.training.pretrained import PretrainedError
from overtone.training.recipe import Recipe, load_recipe
from overtone.training.teacher import Teacher
from overtone.training.trainer import Trainer
from tests.training.tiny_bodies import HIGH, NAME, TABLE, recipe, weights_file

runner = CliRunner()
LABELS = ("ant", "bee", "cat", "dog", "elk")


def few_qualities(name: str) -> Recipe:
    """The bundled recipe with the three qualities of tiny bodies: each takes a while to certify."""
    chosen = load_recipe(name)
    return chosen.changed(quality=chosen.quality.model_dump() | {"table": TABLE.model_dump()})


@pytest.fixture(scope="module", autouse=True)
def _few_qualities() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("overtone.training.adapt.load_recipe", few_qualities)
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Published weights and the labels of their classes."""
    folder = tmp_path_factory.mktemp("published")
    (folder / "labels.txt").write_text("\n".join(LABELS) + "\n")
    return {"weights": weights_file(folder), "labels": folder / "labels.txt"}


def run(files: dict[str, Path], images: Path, out: Path, **options: Any) -> Path:
    settings: dict[str, Any] = {
        "network": NAME,
        "low_pixels": 2,
        "high_pixels": 4,
        "size": 64,
        "epochs": (1, 1),
        "labels": files["labels"],
        "workers": 0,
        "device": "cpu",
    }
    return adapt(str(files["weights"]), images, out, **settings | options)


@pytest.fixture(scope="module")
def adapted(files: dict[str, Path], images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(files, images, tmp_path_factory.mktemp("adapted") / "run")


def evaluate(checkpoint: Path, data: Path, *options: object) -> Result:
    words = ["evaluate", checkpoint, "--data", data, "--device", "cpu", "--workers", "0", *options]
    return runner.invoke(app, [str(word) for word in words], env={"COLUMNS": "120"})


def test_the_card_names_the_teacher(adapted: Path, files: dict[str, Path]) -> None:
    _, card = load(adapted)
    assert card.origin is not None
    assert (card.origin.teacher, card.origin.library, card.origin.size) == (NAME, "timm", 64)
    assert card.origin.weights == files["weights"].name
    assert card.profile.labels == LABELS
    assert card.training is not None
    # 30 images in any nesting, a tenth of them held out.
    assert (card.training.images, card.training.calibration_images) == (27, 3)
    assert {p.name for p in card.operating_points} >= {"balanced", "careful", "thrifty"}
    assert card.profile.steps == TABLE.steps
    assert len({p.quality for p in card.operating_points}) == len(card.profile.qualities) == 3


def test_early_answers_are_certified_to_agree_with_the_full_answer() -> None:
    low, high = torch.eye(3)[[0, 1, 2]].double().numpy(), torch.eye(3)[[0, 1, 0]].double().numpy()
    # High is wrong everywhere, so that nothing can be lost of its accuracy, but the last answers differ.
    p = Predictions(np.stack([low, high]), np.array([2, 2, 2]), np.ones((2, 3), np.int64))
    first = np.ones(3, np.int64)
    assert p.lost(first).tolist() == [False, False, False]
    assert p.agreeing().lost(first).tolist() == [False, False, True]


def test_the_teacher_answers_as_the_network_itself(files: dict[str, Path], images: Path) -> None:
    teacher = Teacher.load(Body(name=NAME, pixels=8), 64, files["weights"], torch.device("cpu"))
    rgb = torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8)
    normalise = teacher.network.normalise
    expected = teacher.network.network((rgb.float() - normalise.mean) / normalise.std)
    torch.testing.assert_close(teacher.network(rgb), expected)
    assert teacher.network.network.state_dict().keys() == load_file(files["weights"]).keys()
    assert (teacher.classes, teacher.origin.licence) == (5, "as the file's owner says")


def test_students_learn_the_teachers_answers(files: dict[str, Path], images: Path, tmp_path: Path) -> None:
    teacher = Teacher.load(HIGH, 64, files["weights"], torch.device("cpu"))
    data = read_unlabelled(images, LABELS)
    chosen = recipe(str(files["weights"]), epochs=(6, 6), lr=2e-4)
    trainer = Trainer(chosen, data, data.take([]), tmp_path, torch.device("cpu"), 0, teacher=teacher.network)
    rgb = torch.randint(256, (4, 3, 64, 64), dtype=torch.uint8)
    goal = trainer.targets(0, torch.zeros(4, 24, 8, 8), torch.zeros(4).long(), rgb)
    torch.testing.assert_close(goal, teacher.network(rgb).softmax(dim=1))
    trainer.run()
    losses = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    for step in (0, 1):
        of_step = [line["loss"] for line in losses if line["step"] == step]
        assert of_step[-1] < of_step[0]


def test_agreement_by_quality(adapted: Path, files: dict[str, Path], images: Path) -> None:
    found = evaluate(adapted, images, "--agreement", "--weights", files["weights"], "--json")
    assert found.exit_code == 0, found.output
    printed = json.loads(found.stdout)
    assert (printed["n"], [entry["quality"] for entry in printed["qualities"]]) == (6, [1, 2, 3])
    held = evaluate(
        adapted, images / "train", "--agreement", "--weights", files["weights"], "--split", "calibration"
    )
    assert held.exit_code == 0, held.output
    assert f"agreement with {NAME}" in held.stdout


def test_agreement_with_other_weights_than_the_cards_is_refused(
    adapted: Path, images: Path, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = evaluate(tiny_checkpoint, images, "--agreement")
    assert (found.exit_code, "names no teacher" in found.stderr) == (1, True)
    found = evaluate(adapted, images, "--agreement", "--weights", weights_file(tmp_path, 7))
    assert (found.exit_code, "has 5 classes" in found.stderr) == (1, True)


def test_a_network_of_imagenet_needs_no_labels(files: dict[str, Path], images: Path, tmp_path: Path) -> None:
    """Its classes are WordNet ids, so a folder of those is measured among all thousand."""
    path = run(
        files | {"weights": weights_file(tmp_path, 1000)},
        images,
        tmp_path / "run",
        labels=None,
        epochs=(0, 0),
    )
    _, card = load(path)
    assert (len(card.classes), card.classes[0], card.profile.labels[0]) == (1000, "n01440764", "tench")
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "n03394916").symlink_to(images / "val" / "warm")
    found = evaluate(path, tmp_path / "few", "--json")
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["n"] == 3


def test_resumed_with_the_epochs_it_began_with(
    adapted: Path, files: dict[str, Path], images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(files, images, adapted.parent, resume=True, epochs=None)
    printed = capsys.readouterr().out
    assert "1 and 1 epochs" in printed
    assert f"overtone serve --model {adapted}" in printed


def test_mistakes(files: dict[str, Path], images: Path, tmp_path: Path) -> None:
    with pytest.raises(PretrainedError, match="--body NAME"):
        run(files, images, tmp_path / "a", network=None)
    with pytest.raises(StartError, match="not those of mobilenetv3_small_075"):
        run(files, images, tmp_path / "a", network="mobilenetv3_small_075")
    with pytest.raises(DataError, match="--labels FILE"):
        run(files, images, tmp_path / "a", labels=None)
    with pytest.raises(DataError, match="5 labels for 7 classes"):
        run(files | {"weights": weights_file(tmp_path, 7)}, images, tmp_path / "a")
    with pytest.raises(DataError, match="no such folder"):
        run(files, tmp_path / "nowhere", tmp_path / "a")
    found = runner.invoke(app, ["adapt", "no_such_network", "--images", str(images)])
    assert (found.exit_code, "no_such_network" in found.stderr) == (1, True)
    assert len(found.stderr.splitlines()) == 1


def test_a_low_body_of_another_name_has_weights_of_its_own(
    files: dict[str, Path], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, Path | None]] = []

    def find(body: Body, file: Path | None) -> object:
        asked.append((body.name, file))
        raise PretrainedError("enough")

    monkeypatch.setattr("overtone.training.body_config.find_pretrained", find)
    with pytest.raises(PretrainedError, match="enough"):
        run(files, images, tmp_path / "a", low="mobilenetv3_small_075")
    assert asked == [("mobilenetv3_small_075", None)]
    assert PRETRAINED == "pretrained"
