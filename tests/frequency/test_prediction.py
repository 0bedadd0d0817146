import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from frequency.prediction import residual, restore
from frequency.symbols import fold, unfold

planes = arrays(np.int16, array_shapes(min_dims=3, max_dims=3, max_side=9))


def loco(plane: NDArray[np.int16]) -> list[list[int]]:
    """The prediction as the paper words it, pixel by pixel."""
    height, width = plane.shape
    out = []
    for y in range(height):
        row = []
        for x in range(width):
            a = int(plane[y, x - 1]) if x else 0
            b = int(plane[y - 1, x]) if y else 0
            c = int(plane[y - 1, x - 1]) if x and y else 0
            if c >= max(a, b):
                row.append(min(a, b))
            elif c <= min(a, b):
                row.append(max(a, b))
            else:
                row.append(a + b - c)
        out.append(row)
    return out


@given(arrays(np.int16, array_shapes(min_dims=2, max_dims=2, max_side=7), elements=st.integers(-99, 99)))
def test_is_the_predictor_of_loco(plane: NDArray[np.int16]) -> None:
    # The paper leaves the border to the coder; with zeros outside, the first column is predicted from above.
    expected = np.array(loco(plane))
    if plane.shape[0] > 1:
        expected[1:, 0] = plane[:-1, 0]
    expected[0, 1:] = plane[0, :-1]
    assert (plane - residual(plane) == expected).all()


@given(planes)
def test_restores_any_planes(band: NDArray[np.int16]) -> None:
    assert (restore(residual(band)) == band).all()


def test_no_planes_are_no_trouble() -> None:
    assert restore(np.zeros((0, 3, 4), dtype=np.int16)).shape == (0, 3, 4)


def test_an_edge_is_followed() -> None:
    # A vertical edge costs its height once, in the first row.
    plane = np.where(np.arange(8) < 4, 10, 90) * np.ones((8, 1))
    left = residual(plane.astype(np.int16))
    assert np.flatnonzero(left).tolist() == [0, 4]


@given(arrays(np.int16, st.tuples(st.just(4), st.integers(1, 6), st.integers(1, 6))))
def test_folding_is_undone(band: NDArray[np.int16]) -> None:
    channels = (0, 1, 64, 9)
    numbers = fold(band, channels)
    assert numbers.min() >= 0
    assert numbers.max() < 1 << 16
    assert (unfold(numbers, channels) == band).all()


def test_folding_alternates_signs() -> None:
    band = np.array([0, -1, 1, -2, 2, 32767, -32768], dtype=np.int16).reshape(1, 1, 7)
    assert fold(band, (1,)).ravel().tolist() == [0, 1, 2, 3, 4, 65534, 65535]


def test_folding_many_pictures_is_folding_each() -> None:
    band = np.random.default_rng(1).integers(-50, 50, (3, 2, 5, 4)).astype(np.int16)
    together = fold(band, (0, 3))
    assert all((fold(one, (0, 3)) == part).all() for one, part in zip(band, together, strict=True))
