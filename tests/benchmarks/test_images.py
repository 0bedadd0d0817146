import socket
import sys
import types
from pathlib import Path

import pytest

from overtone.benchmarks import images
from overtone.benchmarks.images import NoImagesError, draw, gather
from overtone.edge_client.image_files import class_names, truth


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(images.DATA_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(root: Path) -> Path:
        assert socket.getdefaulttimeout() == images.DOWNLOAD_TIMEOUT
        raise OSError("no network")

    _replace_download(monkeypatch, fetch)


def _replace_download(monkeypatch: pytest.MonkeyPatch, fetch: object) -> None:
    """Stand in for training.data, whose torch takes seconds to import."""
    module = types.ModuleType("overtone.training.data")
    module.fetch_imagenette = fetch  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "overtone.training.data", module)


def test_a_given_folder_is_used_then_the_environment(
    picture_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = gather(picture_folder)
    assert {path.parents[1].name for path in found.paths} == {"val"}
    assert (len(found.paths), found.origin, found.note) == (6, str(picture_folder), "")
    assert len(gather(picture_folder / "train").paths) == 24
    monkeypatch.setenv(images.DATA_VARIABLE, str(picture_folder))
    assert gather().origin == str(picture_folder)
    assert gather(picture_folder / "val" / "cold").origin == str(picture_folder / "val" / "cold")


def test_imagenette_comes_third(
    picture_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fetch(root: Path) -> Path:
        print("torchvision prints this on standard output")
        return picture_folder

    _replace_download(monkeypatch, fetch)
    found = gather(count=4)
    assert found.origin.startswith("Imagenette")
    assert len(found.paths) == 4
    assert capsys.readouterr().out == ""
    assert socket.getdefaulttimeout() is None


@pytest.mark.usefixtures("_no_network")
def test_scikit_image_comes_last_with_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    found = gather()
    assert len(found.paths) >= 10
    assert all(path.is_file() for path in found.paths)
    assert "outside the checkpoint's few classes" in found.note
    assert len(gather(count=2).paths) == 2
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(NoImagesError, match="--images"):
        gather()


def test_a_given_folder_must_hold_images(tmp_path: Path) -> None:
    with pytest.raises(NoImagesError, match="no such folder"):
        gather(tmp_path / "none")
    (tmp_path / "notes.txt").write_text("not an image")
    with pytest.raises(NoImagesError, match="no images"):
        gather(tmp_path)


def test_classes_take_turns_and_the_choice_is_always_the_same() -> None:
    paths = [Path(label, f"{i}.jpg") for label in "abc" for i in range(9)]
    drawn = draw(paths, 7)
    assert [path.parent.name for path in drawn] == list("abcabca")
    assert drawn == draw(paths, 7)
    assert sorted(draw(paths, None)) == paths


def test_folders_are_named_after_labels_or_classes() -> None:
    names = class_names(["tench", "church"], ["n01", "n02"])
    assert [truth(Path(folder, "1.jpg"), names) for folder in ("tench", "n02", "other")] == [
        "tench", "church", None
    ]  # fmt: skip
