import io
from pathlib import Path

import pytest
from PIL import Image

from overtone.benchmarks.load.baseline import Baseline


@pytest.mark.parametrize("name", ["jpeg-64-75", "webp-48-30"])
def test_files_are_of_the_named_kind(picture_folder: Path, name: str) -> None:
    baseline = Baseline.parse(name)
    assert str(baseline) == name
    body, milliseconds = baseline.encode(next(picture_folder.rglob("*.jpg")))
    image = Image.open(io.BytesIO(body))
    assert (image.format, image.size) == (baseline.codec.upper(), (baseline.side, baseline.side))
    assert baseline.media_type == Image.MIME[str(image.format)]
    assert milliseconds > 0


def test_a_lower_quality_is_smaller(picture_folder: Path) -> None:
    path = next(picture_folder.rglob("*.jpg"))
    sizes = [len(Baseline("webp", 96, quality).encode(path)[0]) for quality in (10, 50, 90)]
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize("name", ["jpeg", "jpeg-64", "gif-64-75", "jpeg-4-75", "webp-64-101", "webp-9999-50"])
def test_others_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"upload|choose"):
        Baseline.parse(name)
