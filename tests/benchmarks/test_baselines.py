"""Ordinary codecs: files are counted, and decode to the image."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from overtone.benchmarks.curve.baselines import SIDES, Codec, Setting, encoded, has_jxl, send, settings
from overtone.benchmarks.curve.container import picture_bytes
from overtone.frequency import fit


@pytest.fixture(scope="module")
def image(photograph: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return fit(Image.fromarray(photograph), 96)


def error(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(np.abs(a.astype(float) - b).mean())


@pytest.mark.parametrize("codec", ["jpeg", "webp", "avif", "avif-slow", "jxl"])
def test_images_come_back_and_quality_costs_bytes(codec: Codec, image: NDArray[np.uint8]) -> None:
    if codec == "jxl" and not has_jxl():
        pytest.skip("pillow-jxl-plugin is not installed")
    (fine, good), (coarse, bad) = (send(image, Setting(codec, 96, quality)) for quality in (60, 5))
    assert good.shape == image.shape
    assert error(good, image) < min(8.0, error(bad, image))
    assert coarse < fine


@pytest.mark.parametrize("codec", ["jpeg", "webp", "avif"])
def test_the_container_is_the_same_for_all_images(codec: Codec, image: NDArray[np.uint8]) -> None:
    files = [encoded(each, Setting(codec, 96, 40)) for each in (image, image[::-1], image // 2)]
    (container,) = {len(file) - picture_bytes(file) for file in files}
    assert 20 < container < 300
    assert len({len(file) for file in files}) == 3


def test_of_a_cut_jpeg_what_is_there_counts(image: NDArray[np.uint8]) -> None:
    whole = encoded(image, Setting("cut", 96, 60, 100_000))
    short, longer = (picture_bytes(whole[:kept]) for kept in (900, 1000))
    # A scan's header may lie between.
    assert 80 <= longer - short <= 100
    assert picture_bytes(whole[:100]) == 0


def test_a_file_of_unknown_format_has_no_known_container() -> None:
    with pytest.raises(ValueError, match="WebP"):
        picture_bytes(b"GIF89a and so on")


def test_jpeg_is_the_shorter_of_two(image: NDArray[np.uint8]) -> None:
    files = [io.BytesIO(), io.BytesIO()]
    for file, progressive in zip(files, (False, True), strict=True):
        Image.fromarray(image).save(file, "jpeg", quality=60, optimize=True, progressive=progressive)
    assert send(image, Setting("jpeg", 96, 60))[0] == min(file.tell() for file in files)


def test_a_cut_jpeg_improves_with_the_bytes_it_keeps(image: NDArray[np.uint8]) -> None:
    sent = [send(image, Setting("cut", 96, 60, kept)) for kept in (700, 1000, 100_000)]
    assert [size for size, _ in sent[:2]] == [700, 1000]
    errors = [error(decoded, image) for _, decoded in sent]
    assert errors == sorted(set(errors), reverse=True)


def test_all_codecs_are_tried_at_all_sides() -> None:
    found = settings()
    assert len(found) == len(set(found))
    assert {setting.codec for setting in found} >= {"jpeg", "webp", "avif", "cut"}
    assert {setting.side for setting in found} == set(SIDES)
