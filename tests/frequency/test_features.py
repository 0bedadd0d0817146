import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from overtone.frequency import features
from overtone.frequency.features import CAUSAL_PLACES, PLACES, code, code_of

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


def clamped(plane: NDArray[np.int16], y: int, x: int) -> int:
    height, width = plane.shape
    return int(plane[min(max(y, 0), height - 1), min(max(x, 0), width - 1)])


@given(planes)
def test_med_is_that_of_the_paper(plane: NDArray[np.int16]) -> None:
    found = features.predicted(plane)
    for y, x in np.ndindex(plane.shape):
        w = clamped(plane, y - (x == 0), x - (x > 0)) if y or x else 0
        n, nw = (clamped(plane, y - 1, x - i) if y else w for i in (0, 1))
        assert found[y, x] == loco(w, n, nw)


@given(planes)
def test_a_known_plane_continues_with_the_nearest_block(plane: NDArray[np.int16]) -> None:
    read = features.surrounding(plane)
    for place, (down, right) in enumerate(PLACES):
        for y, x in np.ndindex(plane.shape):
            assert read(place)[y, x] == clamped(plane, y + down, x + right)


@given(planes)
def test_what_is_being_coded_continues_to_the_left_with_the_row_above(plane: NDArray[np.int16]) -> None:
    read = features.causal(plane)
    for place, (down, right) in enumerate(PLACES[:CAUSAL_PLACES]):
        for y, x in np.ndindex(plane.shape):
            if (down < 0 and y + down >= 0) or (down == 0 and x + right >= 0):
                assert read(place)[y, x] == clamped(plane, y + down, x + right)
            elif down == 0:
                assert read(place)[y, x] == (plane[y - 1, 0] if y else 0)


@given(planes, st.integers(0, 5), st.integers(0, 5))
def test_causal_places_do_not_look_ahead(plane: NDArray[np.int16], y: int, x: int) -> None:
    y, x = y % plane.shape[0], x % plane.shape[1]
    changed = plane.copy()
    changed.ravel()[y * plane.shape[1] + x :] = 77
    for place, (down, _) in enumerate(PLACES[:CAUSAL_PLACES]):
        if y + down >= 0:
            assert features.causal(plane)(place)[y, x] == features.causal(changed)(place)[y, x]
    assert features.predicted(plane)[y, x] == features.predicted(changed)[y, x]


@given(planes)
def test_a_plane_being_refined_is_fine_only_before_the_block(plane: NDArray[np.int16]) -> None:
    coarse = (plane // 3 * 3).astype(np.int16)
    read = features.refined(coarse, plane)
    for place, (down, right) in enumerate(PLACES):
        for y, x in np.ndindex(plane.shape):
            inside = 0 <= y + down < plane.shape[0] and 0 <= x + right < plane.shape[1]
            known = plane if inside and place < CAUSAL_PLACES else coarse
            assert read(place)[y, x] == clamped(known, y + down, x + right)


@given(st.integers(0, 1 << 40))
def test_a_code_is_a_logarithm(size: int) -> None:
    assert code_of(size) == int(code(np.array([size]))[0])
    exact = 8 * math.log2(1 + 4 * size / 1024)
    assert code_of(size) == 127 if exact > 129 else abs(code_of(size) - exact) < 2


@pytest.mark.parametrize(("dc", "expected"), [(False, [6, 15]), (True, [8, 2])])
def test_activity_is_of_magnitudes_or_of_differences(dc: bool, expected: list[int]) -> None:
    plane = np.array([[[1, -2, 3], [4, 5, 6]]], np.int16)
    assert features.activity(plane, dc).tolist() == [expected]
