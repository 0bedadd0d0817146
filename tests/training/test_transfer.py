"""`overtone train DATA`, on a folder as a newcomer has it."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from overtone.cli import app
from overtone.models import load
from overtone.training.data import DataError
from overtone.training.recipe import Recipe, RecipeError
from overtone.training.resume import recipe_of
from overtone.training.run_log import read_epochs
from overtone.training.transfer import transfer
from tests.training.tiny_bodies import recipe, weights_file

runner = CliRunner()


def run(data: Path, out: Path, weights: str = "", **options: Any) -> Path:
    return transfer(data, out, recipe=recipe(weights), workers=0, device="cpu", **options)


def test_a_folder_becomes_a_checkpoint_with_its_command(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = weights_file(tmp_path)
    path = run(images, tmp_path / "run", str(file), epochs=(1, 1))
    printed = capsys.readouterr().out
    assert "22 images of 2 classes, from published weights" in printed
    assert " left" in printed
    assert printed.rstrip().endswith(f"Serve it:  overtone serve --model {path}")
    _, card = load(path)
    assert (path.name, card.name, card.classes) == ("images.safetensors", "images", ("cold", "warm"))
    assert card.origin is not None
    assert (card.origin.weights, card.origin.teacher) == (file.name, None)
    assert card.accuracy[0].n == 6
    assert {p.quality for p in card.operating_points} == {1, 2, 3}


@pytest.fixture(scope="module")
def first(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a folder without splits; the files of the run stand beside it."""
    return run(images / "train", tmp_path_factory.mktemp("first") / "run", epochs=(2, 1))


def test_a_folder_without_splits_will_do(first: Path) -> None:
    assert load(first)[1].accuracy == ()


def test_resumed_with_the_epochs_it_began_with(first: Path, images: Path) -> None:
    out = first.parent
    with pytest.raises(RecipeError, match="--resume"):
        run(images / "train", out)
    run(images / "train", out, resume=True)
    saved = recipe_of(out / "last.safetensors")
    assert saved is not None
    assert Recipe.model_validate_json(saved).epochs == (2, 1)
    assert len(list(read_epochs(out / "log.jsonl"))) == 3


def test_a_start_is_kept_on_the_card(first: Path, images: Path, tmp_path: Path) -> None:
    second = run(images, tmp_path / "second", start=str(first), epochs=(0, 0))
    origin = load(second)[1].origin
    assert origin is not None
    assert origin.weights == f"checkpoint {load(first)[1].name}"


def test_too_few_images_to_hold_any_out(images: Path, tmp_path: Path) -> None:
    for label in ("cold", "warm"):
        (tmp_path / "few" / label).mkdir(parents=True)
        shutil.copy(images / "train" / label / "0.jpg", tmp_path / "few" / label)
    with pytest.raises(DataError, match="at least 6 images"):
        run(tmp_path / "few", tmp_path / "run")


def command(monkeypatch: pytest.MonkeyPatch, *words: object, **env: str) -> dict[str, Any]:
    """Which of the two ways `overtone train` goes, and with what."""
    found: dict[str, Any] = {}
    monkeypatch.setattr(
        "overtone.training.transfer.transfer", lambda data, *_, **__: found.update(data=str(data))
    )
    monkeypatch.setattr(
        "overtone.training.train.train", lambda chosen, *_, **__: found.update(recipe=chosen.name)
    )
    result = runner.invoke(app, ["train", *map(str, words)], env={"OVERTONE_DATA": ""} | env)
    assert result.exit_code == 0, result.output
    return found


def test_data_alone_is_transfer_and_a_recipe_needs_data(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command(monkeypatch, images) == {"data": str(images)}
    assert command(monkeypatch, "imagenette") == {"data": "imagenette"}
    assert command(monkeypatch, "imagenette", "--data", images) == {"recipe": "imagenette"}
    assert command(monkeypatch, images, OVERTONE_DATA=str(images)) == {"data": str(images)}
    assert command(monkeypatch, "trashnet", OVERTONE_DATA=str(images)) == {"recipe": "trashnet"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "no such folder or data set"),
        (["mine.toml"], "give the data that it trains on with --data"),
        (["trashnet"], "give the data that it trains on with --data"),
        (["imagenette", "--data", ".", "--minutes", "3"], "a recipe has its own"),
    ],
)
def test_mistakes(words: list[str], message: str) -> None:
    found = runner.invoke(app, ["train", *words], env={"OVERTONE_DATA": ""})
    assert found.exit_code == 1
    assert message in found.stderr
    assert len(found.stderr.splitlines()) == 1
