"""Payloads from nowhere good: always a clear error, never a crash, a hang or a wrong picture."""

import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frequency import (
    FrequencyError,
    PayloadError,
    Profile,
    WrongProfileError,
    decode_high,
    decode_low,
    encode_bands,
    read_header,
)
from frequency.header import write_payload
from frequency.rans import START
from frequency.stream import largest

PROFILE = Profile.uniform(["a", "b"], size=32, steps=(64, 16))
RNG = np.random.default_rng(5)
LOW_BAND = np.rint(RNG.laplace(scale=3, size=(6, 4, 4))).astype(np.int16)
HIGH_BAND = np.rint(RNG.laplace(scale=1, size=(18, 4, 4))).astype(np.int16)
LOW_BAND[0, 0, 0] = 3000  # an escape, so that the side stream is there to be damaged
HIGH_BAND[3, 1, 2] = -3000
SENT = encode_bands(LOW_BAND, HIGH_BAND, PROFILE, 1)
SEED = zlib.crc32(LOW_BAND.astype("<i2").tobytes())


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


def low_with(body: bytes) -> bytes:
    """A low payload with a valid checksum: what a hostile device would send."""
    return write_payload("low", 1, PROFILE.id, body, high_size=50)


def high_with(body: bytes) -> bytes:
    return write_payload("high", 1, PROFILE.id, body, seed=SEED)


def body_of(payload: bytes) -> bytes:
    return payload[read_header(payload).length :]


BODY = body_of(SENT.low)

mutations = st.builds(
    lambda at, cut, new: BODY[: at % len(BODY)] + new + BODY[at % len(BODY) + cut :],
    st.integers(0, 1000),
    st.integers(0, 4),
    st.binary(max_size=4),
)


@settings(max_examples=500, deadline=None)
@given(st.one_of(mutations, st.binary(max_size=300)))
def test_a_forged_body_is_refused_or_is_one_the_encoder_writes(body: bytes) -> None:
    try:
        low = decode_low(low_with(body), PROFILE)
    except PayloadError:
        return
    assert body_of(encode_bands(low, HIGH_BAND, PROFILE, 1).low) == body


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=600))
def test_a_forged_high_body_is_refused_or_is_one_the_encoder_writes(body: bytes) -> None:
    try:
        high = decode_high(high_with(body), LOW_BAND, PROFILE)
    except PayloadError:
        return
    assert body_of(encode_bands(LOW_BAND, high, PROFILE, 1).high) == body


def test_forging_works_at_all() -> None:
    assert (decode_low(low_with(BODY), PROFILE) == LOW_BAND).all()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "cut short"),
        (b"\x00\x00\x01", "cut short"),
        (bytes(4), "not a state"),
        (BODY[:8], "cut short"),
        (BODY + b"\x00", "left over"),
        (BODY[:-1], "no end"),
        (BODY[:-2] + b"\xff\xff\x03", "sixteen bits"),
        (BODY[:-2] + b"\xff\xff\xff\xff\x01", "no end"),
        (BODY[:-1] + bytes([BODY[-1] | 0x80, 0]), "longer than it need be"),
        (START.to_bytes(4, "little") + bytes(400), "does not end|left over|no end"),
        (bytes([255]) * (largest(6, 4) + 1), "too long"),
    ],
)
def test_each_check_says_what_it_found(body: bytes, message: str) -> None:
    with pytest.raises(PayloadError, match=message):
        decode_low(low_with(body), PROFILE)


def test_a_band_in_the_wrong_place_is_named() -> None:
    with pytest.raises(PayloadError, match="high payload where a low"):
        decode_low(SENT.high, PROFILE)
    with pytest.raises(PayloadError, match="low payload where a high"):
        decode_high(SENT.low, LOW_BAND, PROFILE)


def test_another_profile_is_named() -> None:
    other = replace(PROFILE, name="other")
    with pytest.raises(WrongProfileError, match=PROFILE.id.hex()):
        decode_low(SENT.low, other)
    with pytest.raises(WrongProfileError, match=other.id.hex()):
        decode_high(SENT.high, LOW_BAND, other)


def test_an_unknown_quality_or_version_is_named() -> None:
    with pytest.raises(PayloadError, match="no quality 9"):
        decode_low(write_payload("low", 9, PROFILE.id, BODY, high_size=1), PROFILE)
    with pytest.raises(PayloadError, match="version 1"):
        read_header(b"\x20" + SENT.low[1:])
    with pytest.raises(PayloadError, match="neither"):
        read_header(b"\x12" + SENT.low[1:])


def test_a_high_of_another_picture_is_refused() -> None:
    other = LOW_BAND.copy()
    other[5, 3, 3] += 1
    with pytest.raises(PayloadError, match="another picture"):
        decode_high(SENT.high, other, PROFILE)


def test_an_absurd_size_of_high_is_refused() -> None:
    for size in (largest(18, 4) + 11, 1 << 27):
        with pytest.raises(PayloadError, match="that large"):
            decode_low(write_payload("low", 1, PROFILE.id, BODY, high_size=size), PROFILE)


@settings(max_examples=200)
@given(st.binary(max_size=20))
def test_headers_of_random_bytes_are_read_or_refused(payload: bytes) -> None:
    for data in (payload, bytes([0x10]) + payload, bytes([0x11]) + payload):
        try:
            header = read_header(data)
        except FrequencyError:
            continue
        assert header.length <= len(data)
