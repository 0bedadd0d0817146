"""An image to two payloads, and payloads back to quantised coefficients."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overtone.frequency import coder
from overtone.frequency.dct import coefficients
from overtone.frequency.errors import PayloadError, WrongProfileError
from overtone.frequency.header import HIGH_BYTES, Band, Header, checksum, read_header, write_header
from overtone.frequency.profile import Profile
from overtone.frequency.quantise import quantise
from overtone.frequency.stream import max_body_bytes


@dataclass(frozen=True)
class Encoded:
    """Both payloads of one image, and the quality they were made at."""

    low: bytes
    high: bytes
    quality: int


def encode(rgb: NDArray[np.uint8], profile: Profile, quality: int | None = None) -> Encoded:
    """Both payloads of an RGB image uint8[S, S, 3], where S is the profile's size.

    `fit` brings any image to that size. The default quality is the profile's.

    Raises:
        ValueError: the image has another size or type.
        ProfileError: the profile has no such quality.
    """
    if rgb.shape != (profile.size, profile.size, 3):
        raise ValueError(f"need uint8[{profile.size}, {profile.size}, 3] RGB, got {list(rgb.shape)}")
    quality = profile.quality if quality is None else quality
    steps = np.concatenate([profile.low_steps(quality), profile.high_steps(quality)])
    planes = quantise(coefficients(rgb, profile.low + profile.high), steps, profile.threshold(quality))
    return _encode(planes, profile, quality)


def encode_bands(low: NDArray[np.int16], high: NDArray[np.int16], profile: Profile, quality: int) -> Encoded:
    """Both payloads of coefficients int16[C, h, w] that are quantised already; nothing is lost from here on."""
    _require_band(low, len(profile.low), profile)
    _require_band(high, len(profile.high), profile)
    return _encode(np.concatenate([low, high]), profile, quality)


def decode_low(payload: bytes, profile: Profile) -> NDArray[np.int16]:
    """Quantised coefficients int16[C, h, w] of a low payload.

    Raises:
        WrongProfileError: the payload was written for another profile.
        PayloadError: the payload is damaged, or is a high payload.
    """
    header = _read(payload, "low")
    if header.profile_id != profile.id:
        raise WrongProfileError(
            f"the payload is for profile {(header.profile_id or b'').hex()}, not {profile.id.hex()}; "
            "fetch the profile and encode again"
        )
    _require_quality(header, profile)
    if (header.high_size or 0) > HIGH_BYTES + max_body_bytes(len(profile.high), profile.blocks**2):
        raise PayloadError("damaged payload: its high payload cannot be that large")
    nothing = np.empty((0, profile.blocks, profile.blocks), dtype=np.int16)
    return _decode(payload, header, nothing, profile, "")


def decode_high(payload: bytes, low: NDArray[np.int16], profile: Profile) -> NDArray[np.int16]:
    """Quantised coefficients int16[C, h, w] of a high payload, given the decoded low of the same image.

    Raises:
        PayloadError: the payload is damaged, is a low payload, or belongs to another image or profile.
    """
    _require_band(low, len(profile.low), profile)
    header = _read(payload, "high")
    _require_quality(header, profile)
    return _decode(payload, header, low, profile, ", or it belongs to another image or profile")


def _encode(planes: NDArray[np.int16], profile: Profile, quality: int) -> Encoded:
    split = len(profile.low)
    high = _payload("high", planes, profile, quality, None)
    return Encoded(_payload("low", planes[:split], profile, quality, len(high)), high, quality)


def _payload(
    band: Band, planes: NDArray[np.int16], profile: Profile, quality: int, high_size: int | None
) -> bytes:
    check = checksum(band, quality, profile.id, high_size, [planes])
    body = coder.encode_band(planes, profile.plan(band, quality), check & 0xFFFF)
    return write_header(band, quality, check >> 16, profile.id, high_size) + body


def _decode(
    payload: bytes, header: Header, known: NDArray[np.int16], profile: Profile, hint: str
) -> NDArray[np.int16]:
    plan = profile.plan(header.band, header.quality)
    band, check = coder.decode_band(payload[header.length :], known, plan)
    expected = checksum(header.band, header.quality, profile.id, header.high_size, [known, band])
    if expected != header.check << 16 | check:
        raise PayloadError(f"damaged payload: the checksum is wrong{hint}")
    return band


def _read(payload: bytes, band: Band) -> Header:
    header = read_header(payload)
    if header.band != band:
        raise PayloadError(f"this is a {header.band} payload where a {band} one belongs")
    return header


def _require_quality(header: Header, profile: Profile) -> None:
    if header.quality not in profile.qualities:
        raise PayloadError(f"the profile has no quality {header.quality}")


def _require_band(band: NDArray[np.int16], channels: int, profile: Profile) -> None:
    shape = (channels, profile.blocks, profile.blocks)
    if band.dtype != np.int16 or band.shape != shape:
        raise ValueError(f"need int16{list(shape)}, got {band.dtype}{list(band.shape)}")
