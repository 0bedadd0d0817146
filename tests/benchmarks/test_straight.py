import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from overtone.benchmarks.codec import straight
from overtone.benchmarks.codec.straight import (
    Found,
    as_jpeg,
    drafted,
    enlarged,
    halved,
    mosaic,
    own,
    report,
    today,
)
from overtone.frequency import coefficients, dct

SIZE, SIDE = 224, 256


@pytest.fixture(scope="module")
def smooth() -> Image.Image:
    """A picture of 256 x 256 with little beyond the 24 channels, so that all routes see the same."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    waves = np.stack([np.sin(5 * x + 3 * y), np.cos(6 * x * y), np.sin(7 * y)], axis=-1)
    return Image.fromarray((128 + 80 * waves).astype(np.uint8))


def test_half_the_size_is_nearly_the_same_channels(smooth: Image.Image) -> None:
    data = as_jpeg(smooth)
    difference = halved(data, SIZE) - today(data, SIZE)
    assert np.sqrt(np.mean(difference**2)) < 3
    assert np.abs(difference[0].mean()) < 1


def test_a_decoder_that_shrinks_gives_nearly_the_same(smooth: Image.Image) -> None:
    data = as_jpeg(smooth.resize((1024, 1024), Image.Resampling.BICUBIC))
    whole = today(data, SIZE)
    for gap, most in ((1.0, 2.0), (2.0, 1.0)):
        assert np.sqrt(np.mean((drafted(data, SIZE, gap) - whole) ** 2)) < most


def fake_jpeglib(ycc: NDArray[np.float64]) -> Any:
    """A reader of the coefficients of float[H, W, 3] YCbCr, its chroma at half the size."""
    half = ycc.reshape(SIDE // 2, 2, SIDE // 2, 2, 3).mean(axis=(1, 3))

    def blocks(plane: NDArray[np.float64]) -> NDArray[np.float64]:
        n = len(plane) // 8
        split, d = plane.reshape(n, 8, n, 8).transpose(0, 2, 1, 3), dct.dct_matrix()
        return np.asarray(d @ split @ d.T / 2)

    read = SimpleNamespace(
        Y=blocks(ycc[..., 0] - 128),
        Cb=blocks(half[..., 1]),
        Cr=blocks(half[..., 2]),
        qt=np.full((2, 8, 8), 2),
        quant_tbl_no=[0, 1, 1],
    )
    return SimpleNamespace(read_dct=lambda path: read)


def test_a_jpegs_own_coefficients_are_the_channels(smooth: Image.Image, tmp_path: Path) -> None:
    rgb = np.asarray(smooth)
    found = own(b"", SIZE, fake_jpeglib(rgb @ dct.RGB_TO_YCC.T), tmp_path / "one.jpg")
    expected = coefficients(np.ascontiguousarray(rgb[16:-16, 16:-16]), straight.CHANNELS)
    luma = [i for i, c in enumerate(straight.CHANNELS) if c < 64]
    assert np.abs(found[luma] - expected[luma]).max() < 0.01
    assert np.sqrt(np.mean((found - expected) ** 2)) < 3


def test_the_least_time_of_all_rounds_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0.0, 5.0, 0.0, 2.0, 0.0, 3.0, 0.0, 4.0])
    monkeypatch.setattr(time, "process_time", lambda: next(ticks))
    monkeypatch.setattr(straight, "_found", lambda milliseconds, *_: milliseconds)
    routes = {"a": lambda data: np.zeros(1, np.float32), "b": lambda data: np.ones(1, np.float32)}
    checkpoint: Any = (None, None)
    found: Any = straight.measure([b""], routes, checkpoint, 2)
    assert found == {"a": 3000.0, "b": 2000.0}


def test_the_report_is_beside_the_first() -> None:
    zero, ones = np.zeros((2, 24, 1, 1), np.float32), np.ones((2, 24, 1, 1), np.float32)
    right, half = np.array([1, 2]), np.array([1, 0])
    first = Found(4.0, zero, zero.astype(np.int16), (10, 20), (right, right))
    other = Found(1.0, 3 * ones, ones.astype(np.int16), (11, 22), (half, right))
    table = report("", {"today": first, "other": other}, right)
    cells = [list(column.cells)[1] for column in table.columns]
    assert cells == [
        "other", "1.00", "0.25", "3.00", "100.00%", "11.0", "22.0", "50.0%", "100.0%", "50.0% / 100.0%"
    ]  # fmt: skip


def test_made_photographs_are_twelve_megapixels(smooth: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    assert enlarged(smooth).size == straight.LARGE == (4000, 3000)
    monkeypatch.setattr(straight, "LARGE", (500, 300))
    made = np.asarray(mosaic([Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")], 0))
    assert made.shape == (300, 500, 3)
    assert {tuple(colour) for colour in made.reshape(-1, 3)} == {(255, 0, 0), (0, 0, 255)}
