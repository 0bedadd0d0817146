"""Ordinary codecs: files are counted as they are, and bare, and pictures come back."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from overtone.benchmarks.curve.containers import bare_avif, bare_jpeg, bare_webp
from overtone.benchmarks.curve.rivals import Way, has_jxl, send, ways
from overtone.frequency import fit

WAYS = [Way("jpeg", 96, 60), Way("webp", 96, 60), Way("avif", 96, 60)]


@pytest.fixture(scope="module")
def picture(photograph: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return fit(Image.fromarray(photograph), 96)


def written(picture: NDArray[np.uint8], kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind, **options)
    return file.getvalue()


def error(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(np.abs(a.astype(float) - b).mean())


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.codec)
def test_pictures_come_back_and_quality_costs_bytes(way: Way, picture: NDArray[np.uint8]) -> None:
    fine, coarse = send(picture, way), send(picture, Way(way.codec, way.side, 5))
    assert fine.rgb.shape == picture.shape
    assert error(fine.rgb, picture) < min(8.0, error(coarse.rgb, picture))
    assert coarse.bytes < fine.bytes
    assert 0 < fine.bare < fine.bytes


@pytest.mark.skipif(not has_jxl(), reason="pillow-jxl-plugin is not installed")
def test_jpeg_xl_too(picture: NDArray[np.uint8]) -> None:
    found = send(picture, Way("jxl", 96, 60))
    assert error(found.rgb, picture) < 8
    assert found.bare == found.bytes


def test_jpeg_is_the_shorter_of_two(picture: NDArray[np.uint8]) -> None:
    files = [
        written(picture, "jpeg", quality=60, optimize=True, progressive=progressive)
        for progressive in (False, True)
    ]
    assert send(picture, WAYS[0]).bytes == min(map(len, files))


def test_cut_jpeg_keeps_no_more_than_it_may_and_improves_with_it(picture: NDArray[np.uint8]) -> None:
    short, long, whole = (send(picture, Way("cut", 96, 60, kept)) for kept in (700, 1000, 100_000))
    assert (short.bytes, long.bytes) == (700, 1000)
    assert error(short.rgb, picture) > error(long.rgb, picture) > error(whole.rgb, picture)


def test_bare_jpeg_is_its_scan(picture: NDArray[np.uint8]) -> None:
    file = written(picture, "jpeg", quality=60)
    header = file.index(b"\xff\xda")
    start = header + 2 + int.from_bytes(file[header + 2 : header + 4], "big")
    assert bare_jpeg(file, tables=False) == len(file) - start - len(b"\xff\xd9")
    # The standard tables (T.81, annex K.3): 16 counts and a class byte each, 12 or 162 symbols.
    assert bare_jpeg(file, tables=True) - bare_jpeg(file, tables=False) == 4 * 17 + 2 * (12 + 162)


def test_bare_progressive_jpeg_has_all_its_scans(picture: NDArray[np.uint8]) -> None:
    file = written(picture, "jpeg", quality=60, progressive=True)
    scans = file.count(b"\xff\xda")
    assert scans > 5
    whole = bare_jpeg(file, tables=True)
    assert 0.5 * len(file) < whole < len(file) - 10 * scans


def test_bare_webp_is_without_riff_start_code_and_sides(picture: NDArray[np.uint8]) -> None:
    file = written(picture, "webp", quality=60, method=6)
    assert len(file) - bare_webp(file) in (27, 28)


def test_bare_avif_is_less_than_its_boxes(picture: NDArray[np.uint8]) -> None:
    small, large = (written(picture, "avif", quality=q, speed=8) for q in (20, 80))
    # Boxes are the same; only frames grow.
    assert len(large) - bare_avif(large) == pytest.approx(len(small) - bare_avif(small), abs=4)
    assert len(small) - bare_avif(small) > 200


def test_all_codecs_are_tried_at_all_sides() -> None:
    found = ways()
    assert len(found) == len(set(found))
    assert {way.codec for way in found} >= {"jpeg", "webp", "avif", "cut"}
    assert {way.side for way in found} == {64, 80, 96, 112, 128, 160, 192, 224}
