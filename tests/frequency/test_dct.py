import numpy as np
import pytest
import scipy.fft
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from overtone.frequency.channels import ALL, HIGH, LOW, SETS
from overtone.frequency.dct import analysis, blocks, coefficients, dct_matrix, image

images = st.tuples(st.integers(1, 4), st.integers(1, 4)).flatmap(
    lambda s: arrays(np.uint8, (8 * s[0], 8 * s[1], 3))
)


def ycc(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """JFIF clause 7, as printed there."""
    r, g, b = (rgb[..., i].astype(float) for i in range(3))
    y = 0.299 * r + 0.587 * g + 0.114 * b
    return np.stack([y, (b - y) / 1.772 + 128, (r - y) / 1.402 + 128], axis=-1)


def test_against_scipy(photograph: NDArray[np.uint8]) -> None:
    planes = ycc(photograph) - 128
    found = coefficients(photograph, ALL)
    for component in range(3):
        blocks = planes[..., component].reshape(12, 8, 16, 8).transpose(0, 2, 1, 3)
        expected = scipy.fft.dctn(blocks, axes=(2, 3), norm="ortho").transpose(2, 3, 0, 1).reshape(64, 12, 16)
        np.testing.assert_allclose(found[64 * component : 64 * (component + 1)], expected, atol=2e-3)


def test_colours_as_pillow_has_them(photograph: NDArray[np.uint8]) -> None:
    pillow = np.asarray(Image.fromarray(photograph).convert("YCbCr")).astype(float) - 128
    dc = coefficients(photograph, (0, 64, 128)) / 8
    means = pillow.reshape(12, 8, 16, 8, 3).mean(axis=(1, 3)).transpose(2, 0, 1)
    np.testing.assert_allclose(dc, means, atol=1.0)


@settings(max_examples=40, deadline=None)
@given(images)
def test_exact_inverse(rgb: NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(image(coefficients(rgb, ALL), ALL), rgb)


@settings(max_examples=20, deadline=None)
@given(images, st.lists(st.integers(0, 191), min_size=1, max_size=30, unique=True))
def test_wanted_channels_are_those_of_all(rgb: NDArray[np.uint8], channels: list[int]) -> None:
    np.testing.assert_allclose(coefficients(rgb, channels), coefficients(rgb, ALL)[channels], atol=1e-3)


def test_coefficients_are_exact_sums_rounded_once() -> None:
    """In integers, so no order of additions can give anything else, on any machine."""
    noise = np.random.default_rng(3).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    matrix, offset = analysis(ALL)
    fixed = np.ldexp(matrix.astype(np.float64), 34).astype(np.int64)
    assert (np.ldexp(fixed.astype(np.float64), -34) == matrix).all()
    sums = blocks(noise).astype(np.int64) @ fixed.T + np.ldexp(offset.astype(np.float64), 34).astype(np.int64)
    exact = np.ldexp(sums.astype(np.float64), -34).astype(np.float32).transpose(2, 0, 1)
    np.testing.assert_array_equal(coefficients(noise, ALL), exact)


def test_absent_channels_are_zero(photograph: NDArray[np.uint8]) -> None:
    flat = image(coefficients(photograph, (0, 64, 128)), (0, 64, 128))
    assert (flat.reshape(12, 8, 16, 8, 3) == flat[::8, ::8].reshape(12, 1, 16, 1, 3)).all()


def test_matrix_is_orthonormal() -> None:
    np.testing.assert_allclose(dct_matrix() @ dct_matrix().T, np.eye(8), atol=1e-12)


@pytest.mark.parametrize(
    "shape", [(8, 12, 3), (7, 8, 3), (8, 8), (8, 8, 4), (0, 8, 3)], ids=lambda s: "x".join(map(str, s))
)
def test_wrong_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"multiples of 8|uint8"):
        coefficients(np.zeros(shape, np.uint8), LOW)


@pytest.mark.parametrize("channels", [(), (192,), (-1, 2)])
def test_wrong_channels(channels: tuple[int, ...], photograph: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="0 to 191"):
        coefficients(photograph, channels)


def test_named_sets() -> None:
    assert SETS[6] == (0, 1, 8, 9, 64, 128) == LOW
    assert HIGH == (2, 3, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27, 65, 72, 73, 129, 136, 137)
    assert sorted(LOW + HIGH) == sorted(SETS[24])
    for count, channels in SETS.items():
        assert len(channels) == len(set(channels)) == count
        assert list(channels) == sorted(channels)


def test_twenty_four_channels_are_half_the_size(photograph: NDArray[np.uint8]) -> None:
    """A 4x4 corner of luma coefficients is the image at half the side: the identity of scaled DCTs."""
    luma = coefficients(photograph, SETS[24])[:16].reshape(4, 4, 12, 16)
    small = dct_matrix(4)
    half = np.einsum("vy,ux,vuhw->hywx", small, small, luma).reshape(48, 64) / 2
    full = np.asarray(Image.fromarray(photograph).convert("L").resize((64, 48), Image.Resampling.BOX))
    assert np.abs(half + 128 - full).mean() < 2
