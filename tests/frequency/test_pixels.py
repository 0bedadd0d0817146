import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from overtone.frequency.pixels import GAP, ImageError, fit, open_rgb


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_orientation_is_applied(photograph: NDArray[np.uint8]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = open_rgb(encoded(Image.fromarray(photograph), "JPEG", exif=exif, quality=95))
    assert turned.size == (96, 128)
    difference = np.asarray(turned).astype(int) - np.rot90(photograph, -1)
    assert np.abs(difference).mean() < 10


def test_grey_cmyk_palette_and_alpha(photograph: NDArray[np.uint8]) -> None:
    image = Image.fromarray(photograph)
    for data in (
        encoded(image.convert("L"), "JPEG"),
        encoded(image.convert("CMYK"), "JPEG"),
        encoded(image.convert("P"), "PNG"),
        encoded(image.convert("RGBA"), "PNG"),
        encoded(image.convert("RGBA"), "WEBP"),
    ):
        opened = open_rgb(data)
        assert opened.mode == "RGB"
        assert opened.size == image.size


def test_transparency_lies_on_white() -> None:
    assert open_rgb(Image.new("RGBA", (8, 8), (255, 0, 0, 0))).getpixel((0, 0)) == (255, 255, 255)


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 64, dtype=np.uint16).reshape(8, 8)
    opened = np.asarray(open_rgb(encoded(Image.fromarray(ramp), "PNG")))
    assert opened[0, 0, 0] == 0
    assert 100 < opened[4, 0, 0] < 150
    assert opened[7, 7, 0] == 255


def test_arrays(photograph: NDArray[np.uint8]) -> None:
    for array in (
        photograph,
        photograph[..., 0],
        photograph[..., :1],
        np.dstack([photograph, photograph[..., :1]]),
    ):
        assert open_rgb(array).mode == "RGB"
    for wrong in (photograph.astype(float), photograph[..., :2], np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(ImageError, match="need"):
            open_rgb(wrong)


def test_what_is_not_an_image(tmp_path: Path, photograph: NDArray[np.uint8]) -> None:
    whole = encoded(Image.fromarray(photograph), "JPEG")
    for source, message in (
        (b"hello", "not an image"),
        (b"", "not an image"),
        (whole[: len(whole) // 2], "cannot be decoded"),
        (tmp_path / "none.jpg", "no such file"),
        (tmp_path, "cannot be decoded"),
    ):
        with pytest.raises(ImageError, match=message):
            open_rgb(source)


def test_what_pillow_has_opened_may_be_no_image_either(photograph: NDArray[np.uint8]) -> None:
    whole = encoded(Image.fromarray(photograph), "JPEG")
    closed = Image.open(io.BytesIO(whole))
    closed.close()
    for source, message in (
        (Image.open(io.BytesIO(whole[: len(whole) // 2])), "truncated"),  # not decoded until it is looked at
        (closed, "closed"),
        (Image.new("RGB", (0, 5)), "0x5.* no pixels"),
    ):
        with pytest.raises(ImageError, match=message):
            open_rgb(source)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_large_jpeg_is_shrunk_on_the_way_to_the_same_image(
    photograph: NDArray[np.uint8], mode: str
) -> None:
    large = Image.fromarray(photograph).resize((1280, 960), Image.Resampling.BICUBIC)
    data = encoded(large.convert(mode), "JPEG", quality=95)
    shrunk = open_rgb(data, 64)
    assert shrunk.size == (320, 240)
    assert shrunk.mode == "RGB"
    assert min(shrunk.size) >= GAP * 64 * 8 / 7
    difference = fit(shrunk, 64).astype(int) - fit(open_rgb(data), 64)
    assert np.abs(difference).mean() < 0.5


def test_what_is_near_the_size_is_decoded_whole(photograph: NDArray[np.uint8]) -> None:
    image = Image.fromarray(photograph)
    for kind, size in (("JPEG", 224), ("JPEG", 64), ("PNG", 16)):
        assert open_rgb(encoded(image, kind), size).size == image.size


def test_a_shrunk_jpeg_is_upright_too(photograph: NDArray[np.uint8]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    large = Image.fromarray(photograph).resize((1280, 960))
    assert open_rgb(encoded(large, "JPEG", exif=exif), 64).size == (240, 320)


def test_bomb() -> None:
    with pytest.raises(ImageError, match="above"):
        open_rgb(encoded(Image.new("1", (9_000, 9_000)), "PNG"))


@pytest.mark.parametrize(("width", "height"), [(128, 96), (96, 128), (64, 64), (500, 20), (9, 2000), (1, 1)])
@pytest.mark.parametrize("size", [64, 224])
def test_fit_gives_the_size(width: int, height: int, size: int) -> None:
    assert fit(Image.new("RGB", (width, height)), size).shape == (size, size, 3)


def test_fit_takes_all_of_a_square_that_was_cropped(photograph: NDArray[np.uint8]) -> None:
    square = fit(Image.fromarray(photograph), 112)
    assert np.array_equal(fit(Image.fromarray(square), 112, cropped=True), square)
    assert not np.array_equal(fit(Image.fromarray(square), 112), square)


def test_fit_is_resize_then_centre_crop(photograph: NDArray[np.uint8]) -> None:
    image = Image.fromarray(photograph)
    resized = image.resize((round(128 * 128 / 96), 128), Image.Resampling.BICUBIC)
    left = (resized.width - 112) / 2
    expected = np.asarray(resized.crop((round(left), 8, round(left) + 112, 120)))
    assert np.abs(fit(image, 112).astype(int) - expected).mean() < 3
