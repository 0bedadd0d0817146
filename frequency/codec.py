"""A picture to two payloads, and payloads back to quantised coefficients."""

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frequency.dct import coefficients
from frequency.errors import PayloadError, WrongProfileError
from frequency.header import FIXED_BYTES, Band, Header, checksum, read_header, write_payload
from frequency.profile import Profile
from frequency.quantise import quantise
from frequency.stream import decode_planes, encode_planes, largest


@dataclass(frozen=True)
class Encoded:
    """Both payloads of one picture, and the quality they were made at."""

    low: bytes
    high: bytes
    quality: int


def encode(rgb: NDArray[np.uint8], profile: Profile, quality: int | None = None) -> Encoded:
    """Both payloads of uint8[S, S, 3] RGB, S the profile's size; `fit` makes such a picture from any other.

    Raises:
        ValueError: the picture has another size or type; ProfileError, if the profile has no such quality.
    """
    if rgb.shape != (profile.size, profile.size, 3):
        raise ValueError(f"need uint8[{profile.size}, {profile.size}, 3] RGB, got {list(rgb.shape)}")
    quality = profile.quality if quality is None else quality
    low = quantise(coefficients(rgb, profile.low), profile.low_steps(quality))
    high = quantise(coefficients(rgb, profile.high), profile.high_steps(quality))
    return encode_bands(low, high, profile, quality)


def encode_bands(low: NDArray[np.int16], high: NDArray[np.int16], profile: Profile, quality: int) -> Encoded:
    """Both payloads of quantised coefficients int16[C, h, w], lossless."""
    _require_band(low, len(profile.low), profile)
    _require_band(high, len(profile.high), profile)
    body = encode_planes(high, profile.high, profile.high_tables(quality))
    second = write_payload("high", quality, profile.id, body, seed=_seed(low))
    body = encode_planes(low, profile.low, profile.low_tables(quality))
    return Encoded(write_payload("low", quality, profile.id, body, high_size=len(second)), second, quality)


def decode_low(payload: bytes, profile: Profile) -> NDArray[np.int16]:
    """Quantised coefficients int16[C, h, w] of a low payload.

    Raises:
        WrongProfileError: written for another profile.
        PayloadError: damaged in any way, or a high payload.
    """
    header = _open(payload, "low", profile, seed=0)
    if (header.high_size or 0) > FIXED_BYTES + largest(len(profile.high), profile.blocks):
        raise PayloadError("damaged payload: its high payload cannot be that large")
    tables = profile.low_tables(header.quality)
    return decode_planes(payload[header.length :], profile.low, tables, profile.blocks)


def decode_high(payload: bytes, low: NDArray[np.int16], profile: Profile) -> NDArray[np.int16]:
    """Quantised coefficients int16[C, h, w] of a high payload, given the decoded low of the same picture.

    Raises:
        WrongProfileError: written for another profile.
        PayloadError: damaged in any way, a low payload, or of another picture than `low`.
    """
    _require_band(low, len(profile.low), profile)
    header = _open(payload, "high", profile, _seed(low))
    tables = profile.high_tables(header.quality)
    return decode_planes(payload[header.length :], profile.high, tables, profile.blocks)


def _open(payload: bytes, band: Band, profile: Profile, seed: int) -> Header:
    header = read_header(payload)
    if header.band != band:
        raise PayloadError(f"this is a {header.band} payload where a {band} one belongs")
    if header.profile_id != profile.id:
        raise WrongProfileError(
            f"the payload is for profile {header.profile_id.hex()}, not {profile.id.hex()}; "
            "fetch the profile and encode again"
        )
    if header.quality not in profile.qualities:
        raise PayloadError(f"the profile has no quality {header.quality}")
    if header.crc != checksum(payload, seed):
        hint = "" if band == "low" else ", or it belongs to another picture"
        raise PayloadError(f"damaged payload: the checksum is wrong{hint}")
    return header


def _seed(low: NDArray[np.int16]) -> int:
    return zlib.crc32(low.astype("<i2").tobytes())


def _require_band(band: NDArray[np.int16], channels: int, profile: Profile) -> None:
    shape = (channels, profile.blocks, profile.blocks)
    if band.dtype != np.int16 or band.shape != shape:
        raise ValueError(f"need int16{list(shape)}, got {band.dtype}{list(band.shape)}")
