"""Layers of some blocks only: what they tell, what they cost, and on what they may stand.

These run with the coder that is there; test_both_coders.py has that both write the same bytes.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from overtone.frequency import (
    THREE_LAYERS,
    TWO_LAYERS,
    BlockMask,
    Encoded,
    Layer,
    PayloadError,
    Profile,
    coder,
    decode,
    encode_further,
    encode_region,
    encode_values,
    known_values,
    part_of,
    read_header,
    read_start,
)
from overtone.frequency.header import REGION, SHORT_BYTES, VERSION
from tests.frequency.random_tables import random_tables

SIDE = 4
FIVE_LAYERS = (Layer("low", 9), Layer("high", 3), Layer("low", 3), Layer("high", 1), Layer("low", 1))


def profile_of(ladder: tuple[Layer, ...]) -> Profile:
    p = Profile.uniform(["a"], size=8 * SIDE, steps=(64, 16), ladder=ladder)
    return replace(p, tables=random_tables(p.low + p.high, len(p.low), 2, ladder))


PROFILES = {len(ladder): profile_of(ladder) for ladder in (TWO_LAYERS, THREE_LAYERS, FIVE_LAYERS)}
THREE = PROFILES[3]
VALUES = np.rint(np.random.default_rng(6).laplace(scale=4, size=(24, SIDE, SIDE))).astype(np.int16)
SENT = encode_values(VALUES, THREE, 1)
MASK = BlockMask.covering([(0, 0.25, 0.5, 1)], (SIDE, SIDE))
INSIDE = MASK.blocks
WITHIN = BlockMask.covering([(0, 0.25, 0.25, 0.75)], (SIDE, SIDE))
EVERYTHING = BlockMask(np.ones((SIDE, SIDE), np.bool_))

ordinary = st.integers(-3, 3)
values = st.one_of(ordinary, st.integers(-300, 300), st.integers(-(1 << 15), (1 << 15) - 1))
images = arrays(np.int16, (24, SIDE, SIDE), elements=values, fill=ordinary)
masks = arrays(np.bool_, (SIDE, SIDE)).map(BlockMask)


@settings(max_examples=30, deadline=None)
@given(images, masks, st.sampled_from(sorted(PROFILES)), st.data())
def test_inside_the_mask_all_is_told_and_outside_what_the_layers_below_tell(
    image: NDArray[np.int16], mask: BlockMask, layers: int, data: st.DataObject
) -> None:
    profile, after = PROFILES[layers], data.draw(st.integers(1, layers - 1))
    whole = encode_values(image, profile, 2)
    sent = encode_region(whole, profile, mask, after)
    found, below = decode(sent.layers, profile), known_values(image, profile, after)
    assert sent.layers[:after] == whole.layers[:after]
    assert (found.mask, found.layers) == (mask, layers)
    assert (found.values[:, mask.blocks] == image[:, mask.blocks]).all()
    scale = profile.known_steps(2, after) / profile.known_steps(2, layers)[: len(below)]
    outside = (below.astype(int) * scale[:, None, None].astype(int)).astype(np.int16)
    assert (found.values[: len(below), ~mask.blocks] == outside[:, ~mask.blocks]).all()
    assert not found.values[len(below) :, ~mask.blocks].any()


def test_a_mask_of_everything_costs_what_the_mask_takes() -> None:
    sent = encode_region(SENT, THREE, EVERYTHING)
    assert (decode(sent.layers, THREE).values == VALUES).all()
    for layer in (1, 2):
        known, told = (known_values(VALUES, THREE, count) for count in (layer, layer + 1))
        coded, plan = told[THREE.channels_of(layer)], THREE.plan(layer, 1)
        body = coder.encode_layer(known, coded, plan, 7)
        assert coder.encode_layer(known, coded, plan, 7, EVERYTHING.blocks) == body
        # Another checksum may round to another word.
        more = len(sent.layers[layer]) - len(SENT.layers[layer]) - 1 - len(EVERYTHING.pack())
        assert abs(more) <= 2


def test_a_part_costs_less() -> None:
    sizes = [encode_region(SENT, THREE, mask).size for mask in (WITHIN, MASK, EVERYTHING)]
    assert sizes == sorted(sizes)


def test_an_empty_mask_tells_nothing() -> None:
    nothing = BlockMask(np.zeros((SIDE, SIDE), np.bool_))
    sent = encode_region(SENT, THREE, nothing)
    found = decode(sent.layers, THREE)
    assert found.mask == nothing
    assert not found.values[6:].any()
    assert max(map(len, sent.layers[1:])) < 24


def test_a_header_holds_the_mask() -> None:
    for number, payload in enumerate(encode_region(SENT, THREE, MASK).layers):
        header = read_header(payload, 3)
        assert (header.layer, header.mask) == (number, MASK.pack() if number else None)
        assert read_start(payload) == (number, 1)
        assert payload[0] == VERSION << 4 | (number and REGION) | number
        assert (header.length == SHORT_BYTES + 1 + len(MASK.pack())) == (number > 0)


def test_a_first_layer_is_of_all_blocks() -> None:
    payload = bytes([SENT.layers[0][0] | REGION]) + SENT.layers[0][1:]
    for read in (lambda: read_start(payload), lambda: decode([payload], THREE)):
        with pytest.raises(PayloadError, match="a first layer is of all blocks"):
            read()
    for after in (0, 4):
        with pytest.raises(ValueError, match="a region comes after 1 to 3 layers"):
            encode_region(SENT, THREE, MASK, after)


def test_regions_stand_on_regions_that_hold_them() -> None:
    narrowed = encode_region(encode_region(SENT, THREE, MASK, 1), THREE, WITHIN, 2)
    found = decode(narrowed.layers, THREE)
    assert found.mask == WITHIN
    assert (found.values[6:, WITHIN.blocks] == VALUES[6:, WITHIN.blocks]).all()
    assert (found.values[:6, INSIDE] == VALUES[:6, INSIDE]).all()
    assert (found.values == known_values(VALUES, THREE, 3, narrowed.masks)).all()


def test_what_goes_beyond_the_region_below_is_refused() -> None:
    narrow = encode_region(SENT, THREE, WITHIN)
    first = Encoded(narrow.layers[:2], 1, VALUES, narrow.masks[:2])
    with pytest.raises(ValueError, match="not sent for all of these blocks"):
        encode_region(first, THREE, MASK, 2)
    with pytest.raises(ValueError, match="not sent for all of these blocks"):
        encode_further(first, THREE)
    known = decode(narrow.layers[:2], THREE)
    for beyond in (SENT.layers[2], encode_region(SENT, THREE, MASK, 2).layers[2]):
        with pytest.raises(PayloadError, match="not sent for all blocks of this one"):
            decode([beyond], THREE, known)


def test_a_whole_layer_stands_on_a_region_of_everything() -> None:
    sent = encode_region(SENT, THREE, EVERYTHING)
    first = Encoded(sent.layers[:2], 1, VALUES, sent.masks[:2])
    assert (decode(encode_further(first, THREE).layers, THREE).values == VALUES).all()


def test_a_device_with_the_first_tables_only_encodes_regions_later() -> None:
    two = encode_values(VALUES, part_of(THREE, 1, 1), 1)
    sent = encode_region(two, part_of(THREE, 1, 2), MASK)
    assert len(sent.layers) == 2
    assert decode(encode_region(sent, THREE, MASK, 2).layers, THREE).layers == 3


def test_masks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="need a mask of 4x4 blocks"):
        encode_region(SENT, THREE, BlockMask(np.ones((4, 5), np.bool_)))
    with pytest.raises(ValueError, match="no values"):
        encode_region(Encoded(SENT.layers, 1), THREE, MASK)


@pytest.mark.parametrize("layer", [1, 2])
def test_every_flipped_bit_and_truncation_is_noticed(layer: int) -> None:
    sent = encode_region(SENT, THREE, MASK).layers
    known, payload = decode(sent[:layer], THREE), sent[layer]
    # With numpy, all of them take minutes.
    stride = 5 if coder.accelerated else 61
    damaged = [payload[:end] for end in range(0, len(payload), stride)] + [payload + b"\0\0"]
    for bit in range(0, 8 * len(payload), stride):
        flipped = bytearray(payload)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(flipped))
    for each in damaged:
        with pytest.raises(PayloadError):
            decode([each], THREE, known)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 2), st.binary(max_size=60), st.integers(0, 40))
def test_hostile_masks_and_bodies_are_refused(layer: int, data: bytes, size: int) -> None:
    known = decode(SENT.layers[:layer], THREE)
    start = bytes([VERSION << 4 | REGION | layer, 1, 0, 0])
    packed = MASK.pack()
    for rest in (data, bytes([size]) + data, bytes([len(packed)]) + packed + data, bytes([255, 255, 127])):
        with pytest.raises(PayloadError):
            decode([start + rest], THREE, known)
