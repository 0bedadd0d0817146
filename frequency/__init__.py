"""Pixels to coefficients to bytes, and back. numpy and an optional C extension; no torch, no network.

`accelerated` says whether the C extension was built and is used; the bytes are the same without it.
"""

from overtone.frequency.codec import Encoded, decode_high, decode_low, encode, encode_bands
from overtone.frequency.coder import accelerated
from overtone.frequency.dct import coefficients, image
from overtone.frequency.errors import FrequencyError, PayloadError, ProfileError, WrongProfileError
from overtone.frequency.fitting import fit_tables
from overtone.frequency.header import Header, read_header
from overtone.frequency.picture import PictureError, fit, open_rgb
from overtone.frequency.prior import prior_tables
from overtone.frequency.profile import Profile
from overtone.frequency.quantise import dequantise, quantise
from overtone.frequency.tables import Tables

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
