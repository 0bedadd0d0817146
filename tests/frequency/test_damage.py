"""Damaged and forged payloads: always a clear error, never a crash, a hang or a wrong image."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overtone.frequency import (
    FrequencyError,
    PayloadError,
    Profile,
    WrongProfileError,
    coder,
    decode_high,
    decode_low,
    encode_bands,
    rans,
    read_header,
    stream,
)
from overtone.frequency.frequency_tables import TOTAL
from overtone.frequency.header import HIGH_BYTES, VERSION, write_header
from overtone.frequency.rans import START
from overtone.frequency.stream import max_body_bytes

PROFILE = Profile.uniform(["a", "b"], size=32, steps=(64, 16))
RNG = np.random.default_rng(5)
LOW_BAND = np.rint(RNG.laplace(scale=3, size=(6, 4, 4))).astype(np.int16)
HIGH_BAND = np.rint(RNG.laplace(scale=1, size=(18, 4, 4))).astype(np.int16)
LOW_BAND[0, 0, 0] = 3000  # an escape, so that there is one to be damaged
HIGH_BAND[3, 1, 2] = -3000
SENT = encode_bands(LOW_BAND, HIGH_BAND, PROFILE, 1)


@pytest.fixture(params=["c", "numpy"], autouse=True, scope="module")
def _implementation(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test here is run with both coders."""
    if request.param == "c" and not coder.accelerated:
        pytest.skip("the C extension was not built")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coder, "accelerated", request.param == "c")
        yield


def refused(payload: bytes) -> None:
    with pytest.raises((PayloadError, WrongProfileError)):
        decode_low(payload, PROFILE)
    with pytest.raises((PayloadError, WrongProfileError)):
        decode_high(payload, LOW_BAND, PROFILE)


@pytest.mark.parametrize("payload", [SENT.low, SENT.high], ids=["low", "high"])
def test_every_flipped_bit_is_noticed(payload: bytes) -> None:
    for bit in range(8 * len(payload)):
        damaged = bytearray(payload)
        damaged[bit // 8] ^= 1 << bit % 8
        refused(bytes(damaged))


@pytest.mark.parametrize("payload", [SENT.low, SENT.high], ids=["low", "high"])
def test_every_truncation_and_extension_is_noticed(payload: bytes) -> None:
    for end in range(len(payload)):
        refused(payload[:end])
    for more in (b"\x00", b"\x00\x00", b"\xff", payload, b"\x00" * 70_000):
        refused(payload + more)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_random_bytes_are_refused(payload: bytes) -> None:
    refused(payload)
    refused(SENT.low[:6] + payload)
    refused(SENT.high[:6] + payload)


BODY = SENT.low[read_header(SENT.low).length :]
NOTHING = np.empty((0, 4, 4), np.int16)

mutations = st.builds(
    lambda at, cut, new: BODY[: at % len(BODY)] + new + BODY[at % len(BODY) + cut :],
    st.integers(0, 1000),
    st.integers(0, 4),
    st.binary(max_size=4),
)


@settings(max_examples=500, deadline=None)
@given(st.one_of(mutations, st.binary(max_size=300)))
def test_a_forged_body_is_refused_or_is_one_the_encoder_writes(body: bytes) -> None:
    """The checksum left aside, as it would be by a hostile device, which makes its own."""
    plan = PROFILE.plan("low", 1)
    try:
        band, check = coder.decode_band(body, NOTHING, plan)
    except PayloadError:
        return
    assert coder.encode_band(band, plan, check) == body


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=600))
def test_a_forged_high_body_is_refused_or_is_one_the_encoder_writes(body: bytes) -> None:
    plan = PROFILE.plan("high", 1)
    try:
        band, check = coder.decode_band(body, LOW_BAND, plan)
    except PayloadError:
        return
    assert coder.encode_band(np.concatenate([LOW_BAND, band]), plan, check) == body


def test_forging_works_at_all() -> None:
    assert (coder.decode_band(BODY, NOTHING, PROFILE.plan("low", 1))[0] == LOW_BAND).all()


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
        coder.decode_band(body, NOTHING, PROFILE.plan("low", 1))


def forged(numbers: list[tuple[int, int]]) -> bytes:
    """A body of these intervals (frequency, start), as only a hostile encoder would write."""
    intervals = np.array(numbers)
    return rans.encode(intervals[:, 0], intervals[:, 1])


def test_a_value_beyond_sixteen_bits_is_refused() -> None:
    plan = PROFILE.plan("low", 1)
    first, channel = plan.models[plan.channels[0].tables[0]], plan.channels[0]
    last = len(first.frequencies) - 1
    flag = (TOTAL - channel.empty, channel.empty)
    escape = [(first.frequencies[last], first.starts[last]), *rans.escape(65534)]
    with pytest.raises(PayloadError, match="sixteen bits"):
        coder.decode_band(forged([flag, *escape] + [(8192, 0)] * 40), NOTHING, plan)


def test_an_empty_channel_must_be_marked() -> None:
    plan = PROFILE.plan("low", 1)
    found = [stream.channel_intervals(np.zeros((6, 4, 4), np.int16), plan, n) for n in range(1, 6)]
    channel = plan.channels[0]
    zero = plan.models[channel.tables[0]]
    numbers = [(TOTAL - channel.empty, channel.empty)] + [(zero.frequencies[0], zero.starts[0])] * 16
    body = forged(numbers + [tuple(i) for f in found for i in f.tolist()])
    with pytest.raises(PayloadError, match="not marked"):
        coder.decode_band(body, NOTHING, plan)


def test_a_band_in_the_wrong_place_is_named() -> None:
    with pytest.raises(PayloadError, match="high payload where a low"):
        decode_low(SENT.high, PROFILE)
    with pytest.raises(PayloadError, match="low payload where a high"):
        decode_high(SENT.low, LOW_BAND, PROFILE)


def test_another_profile_is_named() -> None:
    other = replace(PROFILE, name="other")
    with pytest.raises(WrongProfileError, match=PROFILE.id.hex()):
        decode_low(SENT.low, other)
    with pytest.raises(PayloadError, match="another image or profile"):
        decode_high(SENT.high, LOW_BAND, other)


def test_an_unknown_quality_or_version_is_named() -> None:
    with pytest.raises(PayloadError, match="no quality 9"):
        decode_low(write_header("low", 9, 0, PROFILE.id, 1) + BODY, PROFILE)
    for version in (0, 1, 3):
        with pytest.raises(PayloadError, match=f"version {VERSION}"):
            read_header(bytes([version << 4]) + SENT.low[1:])
    with pytest.raises(PayloadError, match="neither"):
        read_header(b"\x22" + SENT.low[1:])


def test_a_high_of_another_image_is_refused() -> None:
    other = LOW_BAND.copy()
    other[5, 3, 3] += 1
    with pytest.raises(PayloadError):
        decode_high(SENT.high, other, PROFILE)


def test_an_absurd_size_of_high_is_refused() -> None:
    for size in (max_body_bytes(18, 16) + HIGH_BYTES + 1, 1 << 27):
        with pytest.raises(PayloadError, match="that large"):
            decode_low(write_header("low", 1, 0, PROFILE.id, size) + BODY, PROFILE)


@settings(max_examples=200)
@given(st.binary(max_size=20))
def test_headers_of_random_bytes_are_read_or_refused(payload: bytes) -> None:
    for data in (payload, bytes([0x20]) + payload, bytes([0x21]) + payload):
        try:
            header = read_header(data)
        except FrequencyError:
            continue
        assert header.length <= len(data)
