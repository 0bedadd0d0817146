import socket
import sys
import types
from pathlib import Path

import pytest

from overtone.benchmarks import pictures
from overtone.benchmarks.pictures import NoPicturesError, draw, gather


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(pictures.DATA_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(root: Path) -> Path:
        assert socket.getdefaulttimeout() == pictures.PATIENCE
        raise OSError("no network")

    _vision(monkeypatch, fetch)


def _vision(monkeypatch: pytest.MonkeyPatch, fetch: object) -> None:
    """Stand in for training.data, whose torch takes seconds to import."""
    module = types.ModuleType("overtone.training.data")
    module.fetch_imagenette = fetch  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "overtone.training.data", module)


def test_a_folder_that_is_named_is_used(picture_folder: Path) -> None:
    gallery = gather(picture_folder)
    assert {path.parents[1].name for path in gallery.paths} == {"val"}
    assert (len(gallery.paths), gallery.origin, gallery.note) == (6, str(picture_folder), "")
    assert len(gather(picture_folder / "train").paths) == 24


def test_the_environment_comes_second(picture_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(pictures.DATA_VARIABLE, str(picture_folder))
    assert gather().origin == str(picture_folder)
    assert gather(picture_folder / "val" / "cold").origin == str(picture_folder / "val" / "cold")


def test_imagenette_comes_third(
    picture_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fetch(root: Path) -> Path:
        print("torchvision says this on standard output")
        return picture_folder

    _vision(monkeypatch, fetch)
    gallery = gather(count=4)
    assert gallery.origin.startswith("Imagenette")
    assert len(gallery.paths) == 4
    assert capsys.readouterr().out == ""
    assert socket.getdefaulttimeout() is None


@pytest.mark.usefixtures("_no_network")
def test_scikit_image_comes_last_and_says_so() -> None:
    gallery = gather()
    assert len(gallery.paths) >= 10
    assert all(path.is_file() for path in gallery.paths)
    assert "outside the checkpoint's classes" in gallery.note
    assert len(gather(count=2).paths) == 2


@pytest.mark.usefixtures("_no_network")
def test_nothing_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(NoPicturesError, match="--images"):
        gather()


def test_a_folder_that_is_named_must_hold_pictures(tmp_path: Path) -> None:
    with pytest.raises(NoPicturesError, match="no such folder"):
        gather(tmp_path / "none")
    (tmp_path / "notes.txt").write_text("not a picture")
    with pytest.raises(NoPicturesError, match="no pictures"):
        gather(tmp_path)


def test_classes_take_turns_and_the_choice_is_always_the_same() -> None:
    paths = [Path(label, f"{i}.jpg") for label in "abc" for i in range(9)]
    drawn = draw(paths, 7)
    assert [path.parent.name for path in drawn] == list("abcabca")
    assert drawn == draw(paths, 7)
    assert sorted(draw(paths, None)) == paths
