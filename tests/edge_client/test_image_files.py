"""Files of images, as commands need them."""

import io
from pathlib import Path

from PIL import Image

from overtone.edge_client.image_files import class_names, find, jpeg_bytes, truth
from overtone.frequency import fit, open_rgb
from tests.conftest import Photograph


def test_folders_are_searched_and_files_taken_as_named(picture_folder: Path) -> None:
    (picture_folder / "val" / "notes.txt").write_text("no image")
    (picture_folder / "val" / ".hidden").mkdir()
    (picture_folder / "val" / ".hidden" / "a.jpg").write_bytes(b"")
    odd = picture_folder / "val" / "notes.txt"
    found = list(find([picture_folder / "val", odd, "missing.jpg"]))
    assert [path.name for path in found] == ["0.jpg", "1.jpg", "2.jpg"] * 2 + ["notes.txt", "missing.jpg"]


def test_truth_is_the_folder_when_it_names_a_class() -> None:
    names = class_names(["tench", "church"], ["n01", "n02"])
    assert truth(Path("/data/n02/a.jpg"), names) == "church"
    assert truth(Path("/data/tench/a.jpg"), names) == "tench"
    assert truth(Path("/data/holiday/a.jpg"), names) is None
    assert class_names(["tench"]) == {"tench": "tench"}


def test_jpeg_bytes_are_those_of_the_equivalent_size(photograph: Photograph) -> None:
    buffer = io.BytesIO()
    Image.fromarray(fit(open_rgb(photograph), 32)).save(buffer, "JPEG", quality=75, optimize=True)
    assert jpeg_bytes(photograph, 64) == len(buffer.getvalue())
