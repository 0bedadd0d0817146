"""Damaged and forged payloads: always a clear error, never a crash, a hang or a wrong image."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overtone.frequency import (
    THREE_LAYERS,
    Decoded,
    FrequencyError,
    PayloadError,
    Profile,
    WrongProfileError,
    coder,
    decode,
    encode_values,
    known_values,
    rans,
    read_header,
    stream,
)
from overtone.frequency.codec import HEADER_BYTES
from overtone.frequency.context import context
from overtone.frequency.frequency_tables import TOTAL
from overtone.frequency.header import VERSION, write_header
from overtone.frequency.rans import START
from overtone.frequency.stream import max_body_bytes

PROFILE = Profile.uniform(["a", "b"], size=32, steps=(64, 16), ladder=THREE_LAYERS)
LAYERS = range(len(THREE_LAYERS))
VALUES = np.rint(np.random.default_rng(5).laplace(scale=[[[3]]] * 6 + [[[1]]] * 18, size=(24, 4, 4))).astype(
    np.int16
)
VALUES[0, 0, 0] = 3000  # an escape, so that there is one to be damaged
VALUES[9, 1, 2] = -3000
SENT = encode_values(VALUES, PROFILE, 1).layers


def told(layers: int) -> Decoded | None:
    """What the first so many layers tell."""
    return decode(SENT[:layers], PROFILE) if layers else None


TOLD = [told(layer) for layer in LAYERS]


@pytest.fixture(params=["c", "numpy"], autouse=True, scope="module")
def _implementation(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test here is run with both coders."""
    if request.param == "c" and not coder.accelerated:
        pytest.skip("the C extension was not built")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coder, "accelerated", request.param == "c")
        yield


def refused(payload: bytes) -> None:
    for known in TOLD:
        with pytest.raises((PayloadError, WrongProfileError)):
            decode([payload], PROFILE, known)


@pytest.mark.parametrize("layer", LAYERS)
def test_every_flipped_bit_is_noticed(layer: int) -> None:
    known = told(layer)
    # In numpy, a prime number of bits apart: all of them take minutes.
    for bit in range(0, 8 * len(SENT[layer]), 1 if coder.accelerated else 41):
        damaged = bytearray(SENT[layer])
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises((PayloadError, WrongProfileError)):
            decode([bytes(damaged)], PROFILE, known)


@pytest.mark.parametrize("layer", LAYERS)
def test_every_truncation_and_extension_is_noticed(layer: int) -> None:
    known, payload = told(layer), SENT[layer]
    more = (b"\x00", b"\x00\x00", b"\xff", payload, b"\x00" * 70_000)
    for damaged in (
        *(payload[:end] for end in range(0, len(payload), 1 if coder.accelerated else 13)),
        *(payload + m for m in more),
    ):
        with pytest.raises((PayloadError, WrongProfileError)):
            decode([damaged], PROFILE, known)


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=400))
def test_random_bytes_are_refused(payload: bytes) -> None:
    refused(payload)
    for sent in SENT:
        refused(sent[:6] + payload)


BODIES = [payload[read_header(payload, len(SENT)).length :] for payload in SENT]
NOTHING = np.empty((0, 4, 4), np.int16)

mutations = st.builds(
    lambda layer, at, cut, new: (
        layer,
        BODIES[layer][: at % len(BODIES[layer])] + new + BODIES[layer][at % len(BODIES[layer]) + cut :],
    ),
    st.sampled_from(LAYERS),
    st.integers(0, 1000),
    st.integers(0, 4),
    st.binary(max_size=4),
)


@settings(max_examples=150, deadline=None)
@given(st.one_of(mutations, st.tuples(st.sampled_from(LAYERS), st.binary(max_size=400))))
def test_a_forged_body_is_refused_or_is_one_the_encoder_writes(case: tuple[int, bytes]) -> None:
    """The checksum left aside, as it would be by a hostile device, which makes its own."""
    layer, body = case
    plan, known = PROFILE.plan(layer, 1), known_values(VALUES, PROFILE, layer)
    try:
        coded, check = coder.decode_layer(body, known, plan)
    except PayloadError:
        return
    assert coder.encode_layer(known, coded, plan, check) == body


@pytest.mark.parametrize("layer", LAYERS)
def test_forging_works_at_all(layer: int) -> None:
    known, after = (known_values(VALUES, PROFILE, n) for n in (layer, layer + 1))
    coded, _ = coder.decode_layer(BODIES[layer], known, PROFILE.plan(layer, 1))
    assert (coded == after[PROFILE.channels_of(layer)]).all()


BODY = BODIES[0]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "cut short"),
        (b"\x00\x00\x01", "cut short"),
        (bytes(4), "not a state"),
        (BODY[:8], "cut short"),
        (BODY + b"\x00", "half a word"),
        (BODY + b"\x00\x00", "left over"),
        (BODY[:-2], "cut short|does not end"),
        (START.to_bytes(4, "little") + bytes(400), "does not end|left over|not marked"),
        (bytes([255]) * (max_body_bytes(6, 16) + 1), "too long"),
    ],
)
def test_each_check_says_what_it_found(body: bytes, message: str) -> None:
    with pytest.raises(PayloadError, match=message):
        coder.decode_layer(body, NOTHING, PROFILE.plan(0, 1))


def forged(numbers: list[tuple[int, int]]) -> bytes:
    """A body of these intervals (frequency, start), as only a hostile encoder would write."""
    intervals = np.array(numbers)
    return rans.encode(intervals[:, 0], intervals[:, 1])


def test_a_value_beyond_sixteen_bits_is_refused() -> None:
    plan = PROFILE.plan(0, 1)
    # With the tables of a profile without images, a first block has the context of a level and nothing else.
    model, channel = plan.models[plan.contexts[first_context()]], plan.channels[0]
    last = len(model.frequencies) - 1
    flag = (TOTAL - channel.empty, channel.empty)
    escape = [(model.frequencies[last], model.starts[last]), *rans.escape(65534)]
    with pytest.raises(PayloadError, match="sixteen bits"):
        coder.decode_layer(forged([flag, *escape] + [(8192, 0)] * 40), NOTHING, plan)


def first_context() -> int:
    zeros = np.zeros((6, 4, 4), np.int16)
    plan = PROFILE.plan(0, 1)
    return int(context(zeros, 0, plan.channels[0], plan.dc, None).number[0, 0])


def test_an_empty_channel_must_be_marked() -> None:
    plan = PROFILE.plan(0, 1)
    zeros = np.zeros((6, 4, 4), np.int16)
    found = [stream.channel_intervals(NOTHING, zeros, plan, n) for n in range(1, 6)]
    channel = plan.channels[0]
    zero = plan.models[plan.contexts[first_context()]]
    numbers = [(TOTAL - channel.empty, channel.empty)] + [(zero.frequencies[0], zero.starts[0])] * 16
    body = forged(numbers + [tuple(i) for f in found for i in f.tolist()])
    with pytest.raises(PayloadError, match="not marked"):
        coder.decode_layer(body, NOTHING, plan)


def test_a_layer_in_the_wrong_place_is_named() -> None:
    with pytest.raises(PayloadError, match="layer 2 where one of 1"):
        decode(SENT[1:], PROFILE)
    with pytest.raises(PayloadError, match="layer 1 where one of 2"):
        decode([SENT[0]], PROFILE, told(1))
    with pytest.raises(PayloadError, match="layer 3 where one of 2"):
        decode([SENT[0], SENT[2]], PROFILE)


def test_another_profile_is_named() -> None:
    other = replace(PROFILE, name="other")
    with pytest.raises(WrongProfileError, match=PROFILE.id.hex()):
        decode(SENT[:1], other)
    for layer in LAYERS[1:]:
        with pytest.raises(PayloadError, match="another image or profile"):
            decode([SENT[layer]], other, told(layer))


def test_an_unknown_quality_or_version_is_named() -> None:
    with pytest.raises(PayloadError, match="no quality 9"):
        decode([write_header(0, 9, 0, PROFILE.id, (1, 1)) + BODY], PROFILE)
    for version in (0, 1, 2, VERSION + 1):
        with pytest.raises(PayloadError, match=f"version {VERSION}"):
            read_header(bytes([version << 4]) + SENT[0][1:], 3)
    with pytest.raises(PayloadError, match="of layer 4, where there are 3"):
        read_header(bytes([VERSION << 4 | 3]) + SENT[0][1:], 3)


@pytest.mark.parametrize("layer", LAYERS[1:])
def test_a_layer_of_another_image_is_refused(layer: int) -> None:
    known = told(layer)
    assert known is not None
    known.values[5, 3, 3] += 1
    with pytest.raises(PayloadError):
        decode([SENT[layer]], PROFILE, known)


def test_an_absurd_size_of_a_further_layer_is_refused() -> None:
    for size in (max_body_bytes(18, 16) + HEADER_BYTES + 1, 1 << 27):
        with pytest.raises(PayloadError, match="that large"):
            decode([write_header(0, 1, 0, PROFILE.id, (1, size)) + BODY], PROFILE)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=20), st.integers(2, 8))
def test_headers_of_random_bytes_are_read_or_refused(payload: bytes, layers: int) -> None:
    for data in (payload, bytes([VERSION << 4]) + payload, bytes([VERSION << 4 | 1]) + payload):
        try:
            header = read_header(data, layers)
        except FrequencyError:
            continue
        assert header.length <= len(data)
