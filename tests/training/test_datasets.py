import hashlib
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from overtone.models.torch_vision import torchvision
from overtone.training.data import DataError, DownloadError, fetch_imagenette, open_data
from overtone.training.data.datasets import SOURCES

# Of torchvision, on Python 3.12 and 3.13.
pytestmark = pytest.mark.filterwarnings("ignore:Python 3.14 will.*tar:DeprecationWarning")


def write_image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((16, 16, 3), 90, np.uint8)).save(path, "JPEG")


def imagenette(root: Path) -> Path:
    for split, count in (("train", 3), ("val", 1)):
        for wnid in ("n01440764", "n03888257"):
            for i in range(count):
                write_image(root / "imagenette2-320" / split / wnid / f"{wnid}_{i}.JPEG")
    return root / "imagenette2-320"


def flowers(root: Path) -> Path:
    folder = root / "flowers-102"
    for i in range(1, 7):
        write_image(folder / "jpg" / f"image_{i:05d}.jpg")
    savemat(folder / "imagelabels.mat", {"labels": np.array([1, 102, 1, 102, 1, 77])})
    splits = {"trnid": np.array([1, 2]), "valid": np.array([3, 4]), "tstid": np.array([6, 5])}
    savemat(folder / "setid.mat", splits)
    files = dict(torchvision().datasets.Flowers102._file_dict)
    for key in ("label", "setid"):
        name = files[key][0]
        files[key] = (name, hashlib.md5((folder / name).read_bytes()).hexdigest())
    torchvision().datasets.Flowers102._file_dict = files
    return folder


def pets(root: Path) -> Path:
    folder = root / "oxford-iiit-pet"
    lists = {
        "trainval": (("Abyssinian_1", 1), ("great_pyrenees_7", 2)),
        "test": (("great_pyrenees_9", 2), ("Abyssinian_3", 1)),
    }
    (folder / "annotations").mkdir(parents=True)
    for name, lines in lists.items():
        (folder / "annotations" / f"{name}.txt").write_text("".join(f"{i} {c} 1 1\n" for i, c in lines))
        for i, _ in lines:
            write_image(folder / "images" / f"{i}.jpg")
    return folder


def food(root: Path) -> Path:
    folder = root / "food-101"
    (folder / "meta").mkdir(parents=True)
    lists = {
        "train": {"waffles": ["waffles/1", "waffles/2"], "apple_pie": ["apple_pie/3"]},
        "test": {"apple_pie": ["apple_pie/4"], "waffles": ["waffles/5"]},
    }
    for name, classes in lists.items():
        (folder / "meta" / f"{name}.json").write_text(json.dumps(classes))
        for path in (path for paths in classes.values() for path in paths):
            write_image(folder / "images" / f"{path}.jpg")
    return folder


@pytest.fixture(autouse=True)
def _no_network_and_md5_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.setattr(
        torchvision().datasets.Flowers102, "_file_dict", torchvision().datasets.Flowers102._file_dict
    )


def test_a_folder(images: Path) -> None:
    found = open_data(images)
    assert found.name == images.name
    assert found.val is not None
    assert (len(found.train), len(found.val)) == (24, 6)
    assert found.val.classes == found.train.classes == ("cold", "warm")
    alone = open_data(str(images / "train"))
    assert (len(alone.train), alone.val) == (24, None)


def test_folder_errors(images: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such folder or data set.*food101"):
        open_data("imagenete")
    shutil.copytree(images, tmp_path, dirs_exist_ok=True)
    (tmp_path / "val" / "hot").mkdir()
    with pytest.raises(DataError, match="'hot'"):
        open_data(tmp_path)
    shutil.rmtree(tmp_path / "train")
    with pytest.raises(DataError, match="no train/"):
        open_data(tmp_path)


@pytest.mark.parametrize(
    ("name", "lay_out", "train", "val", "first", "last"),
    [
        ("imagenette", imagenette, (0, 0, 0, 1, 1, 1), (0, 1), "n01440764", "n03888257"),
        ("flowers102", flowers, (0, 101, 0, 101), (76, 0), "pink primrose", "blackberry lily"),
        ("oxfordiiitpet", pets, (0, 1), (1, 0), "Abyssinian", "Great Pyrenees"),
        ("food101", food, (1, 1, 0), (0, 1), "apple_pie", "waffles"),
    ],
)
def test_sets_of_torchvision(
    name: str,
    lay_out: Callable[[Path], Path],
    train: tuple[int, ...],
    val: tuple[int, ...],
    first: str,
    last: str,
    tmp_path: Path,
) -> None:
    lay_out(tmp_path)
    found = open_data(name.upper(), root=tmp_path)
    assert found.name == name
    assert found.val is not None
    assert (found.train.targets, found.val.targets) == (train, val)
    assert (found.train.classes[0], found.train.classes[-1]) == (first, last)
    assert all(path.is_file() for path in found.train.paths + found.val.paths)


def test_a_checkpoint_s_order_of_classes(tmp_path: Path) -> None:
    food(tmp_path)
    found = open_data("food101", classes=("waffles", "apple_pie"), root=tmp_path)
    assert found.train.targets == (0, 0, 1)
    assert found.train.classes == ("waffles", "apple_pie")
    with pytest.raises(DataError, match="'apple_pie'"):
        open_data("food101", classes=("waffles",), root=tmp_path)


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    folder = food(tmp_path)
    (folder / "images" / "waffles" / "2.jpg").unlink()
    with pytest.raises(DownloadError, match=r"1 images are missing, .*waffles/2.jpg"):
        open_data("food101", root=tmp_path)


@pytest.mark.parametrize("name", SOURCES)
def test_without_a_network(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        DownloadError, match=r"cannot be downloaded.*try again with a network, or give a folder"
    ):
        open_data(name, root=tmp_path / "new")
    assert not (tmp_path / "new" / SOURCES[name].folder).exists()


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small Imagenette where torchvision looks for the real one."""
    path = tmp_path / "there" / "imagenette2-320.tgz"
    folder = imagenette(tmp_path / "there")
    with tarfile.open(path, "w:gz") as opened:
        opened.add(folder, "imagenette2-320")
    found = dict(torchvision().datasets.Imagenette._ARCHIVES)
    found["320px"] = (path.as_uri(), hashlib.md5(path.read_bytes()).hexdigest())
    monkeypatch.setattr(torchvision().datasets.Imagenette, "_ARCHIVES", found)
    utils = torchvision().datasets.utils
    monkeypatch.setattr(utils, "_get_redirect_url", lambda url, max_hops: url)
    monkeypatch.setattr(utils, "_urlretrieve", lambda url, filename: shutil.copy(path, filename))
    return path


def test_downloaded_once(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "here"
    assert len(open_data("imagenette", root=root).train) == 6
    archive.unlink()
    assert fetch_imagenette(root) == root / "imagenette2-320"
    assert [path.name for path in root.iterdir()] == ["imagenette2-320"]
    assert capsys.readouterr().out == ""


def test_interrupted_while_unpacking(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, whole = tmp_path / "here", tarfile.TarFile.extractall

    def half(self: tarfile.TarFile, path: Any, *rest: Any, **more: Any) -> None:
        self.extract(self.getmembers()[3], path)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tarfile.TarFile, "extractall", half)
        with pytest.raises(KeyboardInterrupt):
            open_data("imagenette", root=root)
    assert not (root / "imagenette2-320").exists()
    assert tarfile.TarFile.extractall is whole
    assert len(open_data("imagenette", root=root).train) == 6


def test_a_damaged_archive(archive: Path, tmp_path: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:-50])
    with pytest.raises(DownloadError, match="imagenette: cannot be downloaded"):
        open_data("imagenette", root=tmp_path / "here")
