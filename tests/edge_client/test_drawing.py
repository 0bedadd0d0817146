"""What is drawn into pictures, found again in their pixels."""

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageColor

from overtone.edge_client import Box, Detection, Mask
from overtone.edge_client.drawing import COLOURS, LEAST_SIDE, colour, draw

THING = Detection("person", 0, 0.93, Box(0.25, 0.25, 0.75, 0.75))


def grey(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), (90, 90, 90))


def where(image: Image.Image, index: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the pixels that have a class's colour."""
    rows, columns = np.nonzero((np.asarray(image) == ImageColor.getrgb(colour(index))).all(2))
    return rows, columns


@pytest.mark.parametrize("size", [(24, 18), (640, 480), (480, 640), (3000, 2000)])
def test_a_box_lies_where_the_thing_is_and_a_label_on_top_of_it(size: tuple[int, int]) -> None:
    image = draw(grey(*size), [THING])
    width, height = image.size
    assert max(image.size) == max(LEAST_SIDE, *size)
    assert width / height == pytest.approx(size[0] / size[1], rel=0.01)
    rows, columns = where(image, 0)
    assert columns.min() == round(0.25 * (width - 1))
    assert columns.max() == round(0.75 * (width - 1))
    assert rows.max() == round(0.75 * (height - 1))
    letters = 0.25 * height - rows.min()
    assert max(image.size) / 60 < letters < max(image.size) / 20, "the label's height follows the picture's"


def test_labels_hide_neither_each_other_nor_leave_the_picture() -> None:
    things = [Detection("dining table", i, 0.5, Box(0.9, 0.0, 1.0, 0.06)) for i in range(3)]
    plain = np.asarray(draw(grey(640, 480), []))
    image = draw(grey(640, 480), things)
    areas = [len(where(image, i)[0]) for i in range(3)]
    assert min(areas) > 0.7 * max(areas), "each label can be seen"
    rows, _ = np.nonzero((np.asarray(image) != plain).any(2))
    assert rows.max() < 480


def test_the_surest_thing_lies_on_top() -> None:
    unsure, sure = (Detection("", i, p, Box(0.1, 0.5, 0.9, 0.9)) for i, p in ((1, 0.4), (0, 0.9)))
    for order in ([sure, unsure], [unsure, sure]):
        image = draw(grey(640, 480), order)
        left, middle = round(0.1 * 639), round(0.7 * 479)
        assert image.getpixel((left, middle)) == ImageColor.getrgb(colour(0))


def test_a_mask_is_shaded() -> None:
    # Of 2 x 2 pixels, the right column: runs of 2 outside and 2 inside.
    masked = Detection("", 0, 0.9, Box(0.0, 0.0, 1.0, 1.0), Mask(2, 2, b"22"))
    image = draw(grey(640, 640), [masked])
    assert image.getpixel((100, 320)) == (90, 90, 90)
    red, green, _ = np.asarray(image)[320, 540]
    assert red > 120 > 90 > green


def test_an_empty_answer_leaves_the_picture_as_it_is() -> None:
    assert np.array_equal(np.asarray(draw(grey(700, 300), [])), np.asarray(grey(700, 300)))


def test_colours_can_be_told_apart() -> None:
    """By their distance in CIELAB; 2.3 is just noticeable side by side."""
    lab = [_lab(ImageColor.getrgb(each)) for each in COLOURS]
    assert min(float(np.linalg.norm(a - b)) for a, b in combinations(lab, 2)) > 15
    assert min(float(np.linalg.norm(a - b)) for a, b in combinations(lab[:8], 2)) > 25


def _lab(rgb: tuple[int, ...]) -> NDArray[np.float64]:
    linear = np.array(
        [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in np.divide(rgb, 255)]
    )
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(to_xyz @ linear / [0.9505, 1.0, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])
