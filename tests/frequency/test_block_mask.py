import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from overtone.frequency import BlockMask, PayloadError

SHAPES = array_shapes(min_dims=2, max_dims=2, max_side=12)
masks = st.one_of(
    arrays(np.bool_, SHAPES),
    SHAPES.map(lambda shape: np.zeros(shape, np.bool_)),
    SHAPES.map(lambda shape: np.ones(shape, np.bool_)),
)
fractions = st.floats(-0.5, 1.5)
boxes = st.lists(st.tuples(fractions, fractions, fractions, fractions), max_size=4)


@settings(max_examples=60, deadline=None)
@given(masks)
def test_any_mask_survives(blocks: NDArray[np.bool_]) -> None:
    mask = BlockMask(blocks)
    assert BlockMask.unpack(mask.pack(), mask.shape) == mask


@settings(max_examples=100, deadline=None)
@given(masks, st.integers(0, 60), st.integers(0, 4), st.binary(max_size=4))
def test_a_damaged_mask_is_refused_or_is_one_that_is_written(
    blocks: NDArray[np.bool_], at: int, cut: int, new: bytes
) -> None:
    good = BlockMask(blocks).pack()
    at %= len(good)
    damaged = good[:at] + new + good[at + cut :]
    try:
        found = BlockMask.unpack(damaged, BlockMask(blocks).shape)
    except PayloadError:
        return
    assert found.pack() == damaged


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (256, 256)])
def test_hostile_masks_are_refused(shape: tuple[int, int]) -> None:
    good = BlockMask(np.ones(shape, np.bool_)).pack()
    for bad in (
        b"",
        bytes(4),
        good[:-1],
        good + b"\x00",
        good + bytes(2),
        b"\xff" * 8,
        good + bytes(1 << 20),
    ):
        with pytest.raises(PayloadError, match="damaged"):
            BlockMask.unpack(bad, shape)
    with pytest.raises(PayloadError, match="too long for its picture"):
        BlockMask.unpack(good + bytes(1 << 20), shape)


def test_a_row_that_repeats_the_one_above_must_be_marked() -> None:
    """Otherwise one mask could be written in several ways."""
    with pytest.raises(PayloadError, match="not marked"):
        BlockMask.unpack(rows_spelt_out([[0, 1], [0, 1]]), (2, 2))


def rows_spelt_out(rows: list[list[int]]) -> bytes:
    from overtone.frequency import block_mask, rans

    bits, intervals = iter([bit for row in rows for bit in (0, *row)]), []

    def code(counts: block_mask.Counts, _: int) -> int:
        bit, model = next(bits), counts.model
        intervals.append((model.frequencies[bit], model.starts[bit]))
        return bit

    with pytest.raises(PayloadError):
        block_mask.walk((len(rows), len(rows[0])), code)
    return rans.encode(*np.array(intervals).T)


def test_a_handful_of_boxes_takes_a_few_bytes() -> None:
    one = BlockMask.covering([(0.2, 0.3, 0.6, 0.7)], (40, 40))
    several = BlockMask.covering(
        [(0.1, 0.1, 0.3, 0.4), (0.2, 0.3, 0.6, 0.7), (0.7, 0.1, 0.9, 0.9), (0.05, 0.8, 0.5, 0.95)], (40, 40)
    )
    assert len(one.pack()) <= 12
    assert len(several.pack()) <= 30
    for blocks in (np.zeros((40, 40), np.bool_), np.ones((40, 40), np.bool_)):
        assert len(BlockMask(blocks).pack()) <= 6


def test_worst_masks_stay_near_a_bit_for_each_block() -> None:
    noise = np.random.default_rng(0).random((40, 40)) < 0.5
    board = np.indices((40, 40)).sum(axis=0) % 2 == 1
    for blocks in (noise, board):
        assert len(BlockMask(blocks).pack()) < 1.3 * 1600 / 8


def test_boxes_cover_the_blocks_that_they_touch() -> None:
    mask = BlockMask.covering([(0.25, 0.5, 0.51, 0.75)], (8, 8))
    expected = np.zeros((8, 8), np.bool_)
    expected[4:6, 2:5] = True
    np.testing.assert_array_equal(mask.blocks, expected)
    assert (mask.count, mask.share, mask.everything) == (6, 6 / 64, False)
    expected[3:7, 1:6] = True
    np.testing.assert_array_equal(BlockMask.covering([(0.25, 0.5, 0.51, 0.75)], (8, 8), 1).blocks, expected)


def test_the_edge_of_a_block_is_not_in_the_next_one_by_rounding() -> None:
    third = 3 * 0.1  # 0.30000000000000004
    assert BlockMask.covering([(0, 0, third, third)], (10, 10)).count == 9
    assert BlockMask.covering([(0.7999999999, 0, 1, 0.1)], (10, 10)).count == 2


@given(boxes, st.integers(0, 3))
def test_a_margin_widens_and_boxes_add_up(found: list[tuple[float, ...]], margin: int) -> None:
    mask = BlockMask.covering(found, (6, 9), margin)
    assert mask.shape == (6, 9)
    assert BlockMask.covering(found, (6, 9), margin + 1).covers(mask)
    for box in found:
        assert mask.covers(BlockMask.covering([box], (6, 9), margin))


def test_without_boxes_there_are_no_blocks() -> None:
    for found in ([], np.empty((0, 4)), [(0.5, 0.5, 0.5, 0.9), (0.6, 0.1, 0.2, 0.9), (1.1, 0, 1.3, 1)]):
        assert BlockMask.covering(found, (4, 4), 2).count == 0
    assert BlockMask.covering([(-1, -1, 2, 2)], (4, 4)).everything


@pytest.mark.parametrize("found", [[(0, 0, 1)], [(0, 0, 1, float("nan"))], 0.5, np.zeros((2, 2, 4))])
def test_what_is_no_box_is_refused(found: object) -> None:
    with pytest.raises(ValueError, match="need boxes"):
        BlockMask.covering(found, (4, 4))  # type: ignore[arg-type]


def test_a_mask_is_a_value() -> None:
    blocks = np.zeros((2, 3), np.bool_)
    mask = BlockMask(blocks)
    blocks[0, 0] = True
    assert mask == BlockMask(np.zeros((2, 3), np.bool_))
    assert hash(mask) == hash(BlockMask(np.zeros((2, 3), np.bool_)))
    assert mask != BlockMask(np.zeros((3, 2), np.bool_))
    assert mask != BlockMask(blocks)
    assert BlockMask(blocks).covers(mask)
    assert not mask.covers(BlockMask(blocks))
    for shape in ((), (3,), (0, 3), (1, 2, 3)):
        with pytest.raises(ValueError, match=r"need bool\[h, w\]"):
            BlockMask(np.zeros(shape, np.bool_))
