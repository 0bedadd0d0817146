"""Pixels to coefficients to bytes, and back. numpy and an optional C extension; no torch, no network.

`accelerated` says whether the C extension was built and is used; the bytes are the same without it.
"""

from frequency.codec import Encoded, decode_high, decode_low, encode, encode_bands
from frequency.coder import accelerated
from frequency.dct import coefficients, image
from frequency.errors import FrequencyError, PayloadError, ProfileError, WrongProfileError
from frequency.fitting import fit_tables
from frequency.header import Header, read_header
from frequency.picture import PictureError, fit, open_rgb
from frequency.prior import prior_tables
from frequency.profile import Profile
from frequency.quantise import dequantise, quantise
from frequency.tables import Tables

__all__ = [
    "Encoded",
    "FrequencyError",
    "Header",
    "PayloadError",
    "PictureError",
    "Profile",
    "ProfileError",
    "Tables",
    "WrongProfileError",
    "accelerated",
    "coefficients",
    "decode_high",
    "decode_low",
    "dequantise",
    "encode",
    "encode_bands",
    "fit",
    "fit_tables",
    "image",
    "open_rgb",
    "prior_tables",
    "quantise",
    "read_header",
]
