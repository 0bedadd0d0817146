"""Ordinary codecs: files are counted whole and bare, and decode to the image."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from overtone.benchmarks.curve.baselines import SIDES, Setting, has_jxl, send, settings
from overtone.benchmarks.curve.containers import bare_avif, bare_jpeg, bare_webp
from overtone.frequency import fit


@pytest.fixture(scope="module")
def image(photograph: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return fit(Image.fromarray(photograph), 96)


def encoded(image: NDArray[np.uint8], kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


def error(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(np.abs(a.astype(float) - b).mean())


@pytest.mark.parametrize("codec", ["jpeg", "webp", "avif", "jxl"])
def test_images_come_back_and_quality_costs_bytes(codec: str, image: NDArray[np.uint8]) -> None:
    if codec == "jxl" and not has_jxl():
        pytest.skip("pillow-jxl-plugin is not installed")
    fine, coarse = (send(image, Setting(codec, 96, quality)) for quality in (60, 5))  # type: ignore[arg-type]
    assert fine.rgb.shape == image.shape
    assert error(fine.rgb, image) < min(8.0, error(coarse.rgb, image))
    assert coarse.bytes < fine.bytes
    assert 0 < fine.bare <= fine.bytes
    assert (fine.bare == fine.bytes) == (codec == "jxl")


def test_jpeg_is_the_shorter_of_two(image: NDArray[np.uint8]) -> None:
    files = [encoded(image, "jpeg", quality=60, optimize=True, progressive=each) for each in (False, True)]
    assert send(image, Setting("jpeg", 96, 60)).bytes == min(map(len, files))


def test_a_cut_jpeg_improves_with_the_bytes_it_keeps(image: NDArray[np.uint8]) -> None:
    short, long, whole = (send(image, Setting("cut", 96, 60, kept)) for kept in (700, 1000, 100_000))
    assert (short.bytes, long.bytes) == (700, 1000)
    assert error(short.rgb, image) > error(long.rgb, image) > error(whole.rgb, image)


def test_a_bare_jpeg_is_its_scans(image: NDArray[np.uint8]) -> None:
    file = encoded(image, "jpeg", quality=60)
    header = file.index(b"\xff\xda")
    start = header + 2 + int.from_bytes(file[header + 2 : header + 4], "big")
    assert bare_jpeg(file, tables=False) == len(file) - start - len(b"\xff\xd9")
    # The standard tables (T.81, annex K.3): 16 counts and a class byte each, 12 or 162 symbols.
    assert bare_jpeg(file, tables=True) - bare_jpeg(file, tables=False) == 4 * 17 + 2 * (12 + 162)
    progressive = encoded(image, "jpeg", quality=60, progressive=True)
    scans = progressive.count(b"\xff\xda")
    assert scans > 5
    assert 0.5 * len(progressive) < bare_jpeg(progressive, tables=True) < len(progressive) - 10 * scans


def test_a_bare_webp_has_no_riff_start_code_and_sides(image: NDArray[np.uint8]) -> None:
    file = encoded(image, "webp", quality=60, method=6)
    assert len(file) - bare_webp(file) in (27, 28)


def test_a_bare_avif_has_no_boxes(image: NDArray[np.uint8]) -> None:
    small, large = (encoded(image, "avif", quality=q, speed=8) for q in (20, 80))
    # Boxes are the same; only frames grow.
    assert len(large) - bare_avif(large) == pytest.approx(len(small) - bare_avif(small), abs=4)
    assert len(small) - bare_avif(small) > 200


def test_all_codecs_are_tried_at_all_sides() -> None:
    found = settings()
    assert len(found) == len(set(found))
    assert {setting.codec for setting in found} >= {"jpeg", "webp", "avif", "cut"}
    assert {setting.side for setting in found} == set(SIDES)
