"""Ordinary codecs: files are counted, and decode to the image."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from overtone.benchmarks.curve.baselines import SIDES, Codec, Setting, has_jxl, send, settings
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
