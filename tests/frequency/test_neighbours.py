import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from overtone.frequency.neighbours import (
    causal_neighbours,
    feature_reader,
    features,
    surrounding_neighbours,
)

planes = arrays(
    np.int16,
    array_shapes(min_dims=2, max_dims=2, max_side=6),
    elements=st.integers(-(1 << 15), (1 << 15) - 1),
)


def loco(a: int, b: int, c: int) -> int:
    """The MED prediction in the words of the paper."""
    if c >= max(a, b):
        return min(a, b)
    return max(a, b) if c <= min(a, b) else a + b - c


@given(planes)
def test_causal_neighbours_are_what_the_docstring_says(plane: NDArray[np.int16]) -> None:
    found = causal_neighbours(plane)
    height, width = plane.shape
    for y in range(height):
        row = [int(plane[y - 1, 0]) if y else 0] * 2 + plane[y].tolist()
        for x in range(width):
            w, ww = row[x + 1], row[x]
            above = plane[y - 1].tolist() if y else [w] * width
            n = above[x]
            expected = {
                "w": w,
                "ww": ww,
                "n": n,
                "nw": above[x - 1] if x else n,
                "ne": above[x + 1] if x + 1 < width else n,
                "nn": int(plane[y - 2, x]) if y > 1 else n,
            }
            expected["med"] = loco(w, n, expected["nw"])
            assert {name: int(values[y, x]) for name, values in found.items()} == expected


@given(planes)
def test_surrounding_neighbours_continue_with_the_nearest_block(plane: NDArray[np.int16]) -> None:
    found = surrounding_neighbours(plane)
    height, width = plane.shape
    for name, (down, right) in {"c": (0, 0), "n": (-1, 0), "se": (1, 1), "sw": (1, -1), "e": (0, 1)}.items():
        for y in range(height):
            for x in range(width):
                yy, xx = min(max(y + down, 0), height - 1), min(max(x + right, 0), width - 1)
                assert found[name][y, x] == plane[yy, xx]


@given(planes, st.integers(0, 5), st.integers(0, 5))
def test_causal_features_do_not_look_ahead(plane: NDArray[np.int16], y: int, x: int) -> None:
    y, x = y % plane.shape[0], x % plane.shape[1]
    changed = plane.copy()
    changed.ravel()[y * plane.shape[1] + x :] = 77
    for dc in (False, True):
        before, after = feature_reader(plane, True, dc), feature_reader(changed, True, dc)
        for number in range(len(features(True, dc))):
            assert before(number)[y, x] == after(number)[y, x]


@pytest.mark.parametrize("own", [True, False])
def test_brightness_does_not_matter_to_dc_features(own: bool) -> None:
    plane = np.random.default_rng(0).integers(-50, 50, (2, 5, 6)).astype(np.int16)
    here, brighter = feature_reader(plane, own, True), feature_reader(plane + 100, own, True)
    for number in range(len(features(own, True))):
        # The very first block has nothing to compare with but zero.
        assert (here(number)[..., 1:, :] == brighter(number)[..., 1:, :]).all()
