import io
from pathlib import Path

import pytest
from PIL import Image

from overtone.benchmarks.load.upload import Rival


@pytest.mark.parametrize("name", ["jpeg-64-75", "webp-48-30"])
def test_what_it_encodes_is_what_it_says(picture_folder: Path, name: str) -> None:
    rival = Rival.parse(name)
    assert str(rival) == name
    body, milliseconds = rival.encode(next(picture_folder.rglob("*.jpg")))
    picture = Image.open(io.BytesIO(body))
    assert picture.format == rival.codec.upper()
    assert picture.size == (rival.side, rival.side)
    assert rival.media_type == Image.MIME[str(picture.format)]
    assert milliseconds > 0


def test_a_lower_quality_is_smaller(picture_folder: Path) -> None:
    path = next(picture_folder.rglob("*.jpg"))
    sizes = [len(Rival("webp", 96, quality).encode(path)[0]) for quality in (10, 50, 90)]
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize("name", ["jpeg", "jpeg-64", "gif-64-75", "jpeg-4-75", "webp-64-101", "webp-9999-50"])
def test_what_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"upload|choose"):
        Rival.parse(name)
