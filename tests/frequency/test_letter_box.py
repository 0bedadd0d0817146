import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from overtone.frequency import LetterBox, coefficients, letter_boxed
from overtone.frequency.channels import ALL
from overtone.frequency.letter_box import NEUTRAL

SIDES = st.integers(1, 3000)
FRACTIONS = st.floats(0, 1)


@given(st.integers(8, 1024), SIDES, SIDES, st.tuples(FRACTIONS, FRACTIONS, FRACTIONS, FRACTIONS))
def test_boxes_map_back(size: int, width: int, height: int, box: tuple[float, ...]) -> None:
    letter = LetterBox(size, width, height)
    assert max(letter.content) == size
    assert min(letter.content) >= 1
    square = letter.to_square(np.array(box))
    assert (square[::2] <= letter.content[0] / size).all()
    assert (square[1::2] <= letter.content[1] / size).all()
    np.testing.assert_allclose(letter.to_picture(square), box, atol=1e-12)


@given(st.integers(1, 256), SIDES, SIDES)
def test_the_shape_of_a_picture_is_kept_to_half_a_pixel(size: int, width: int, height: int) -> None:
    content = LetterBox(size, width, height).content
    for side, wanted in zip(content, (width, height), strict=True):
        assert side == 1 or abs(side - wanted * size / max(width, height)) <= 0.5


def test_half_a_pixel_is_rounded_up() -> None:
    assert LetterBox(64, 128, 1).content == (64, 1)
    assert LetterBox(64, 128, 3).content == (64, 2)
    assert LetterBox(64, 5, 128).content == (3, 64)


@pytest.mark.parametrize("shape", [(96, 64), (64, 96), (64, 64), (30, 7)])
def test_a_picture_lies_in_the_upper_left_corner_and_the_rest_is_neutral(shape: tuple[int, int]) -> None:
    width, height = shape
    square = letter_boxed(Image.new("RGB", shape, (200, 10, 30)), 64)
    inside = LetterBox(64, width, height).content
    assert (square[: inside[1], : inside[0]] == (200, 10, 30)).all()
    assert (square[inside[1] :] == NEUTRAL).all()
    assert (square[:, inside[0] :] == NEUTRAL).all()


def test_a_picture_of_the_size_is_not_resampled() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    np.testing.assert_array_equal(letter_boxed(Image.fromarray(pixels), 64)[:48], pixels)


def test_a_box_of_the_picture_encloses_the_same_pixels_in_the_square() -> None:
    picture = np.full((60, 120, 3), 0, np.uint8)
    picture[15:45, 30:90] = 255
    square = letter_boxed(Image.fromarray(picture), 240)
    left, top, right, bottom = LetterBox(240, 120, 60).to_square(np.array([0.25, 0.25, 0.75, 0.75])) * 240
    rows, columns = np.nonzero(square[:120, :, 0] > 127)
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (left, top, right, bottom)


def test_neutral_pixels_have_no_coefficients() -> None:
    square = np.full((16, 16, 3), NEUTRAL, np.uint8)
    np.testing.assert_allclose(coefficients(square, ALL), 0, atol=1e-3)


def test_sizes_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="no letter box of 0x5"):
        LetterBox(64, 0, 5)
