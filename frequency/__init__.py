"""Pixels to coefficients to bytes, and back. numpy only; no torch, no network."""

from frequency.codec import Encoded, decode_high, decode_low, encode, encode_bands
from frequency.dct import coefficients, image
from frequency.errors import FrequencyError, PayloadError, ProfileError, WrongProfileError
from frequency.header import Header, read_header
from frequency.picture import PictureError, fit, open_rgb
from frequency.profile import Profile
from frequency.quantise import dequantise, quantise
from frequency.tables import fit_tables, laplacian_tables

__all__ = [
    "Encoded",
    "FrequencyError",
    "Header",
    "PayloadError",
    "PictureError",
    "Profile",
    "ProfileError",
    "WrongProfileError",
    "coefficients",
    "decode_high",
    "decode_low",
    "dequantise",
    "encode",
    "encode_bands",
    "fit",
    "fit_tables",
    "image",
    "laplacian_tables",
    "open_rgb",
    "quantise",
    "read_header",
]
