"""Pixels to coefficients to bytes, and back. numpy only; no torch, no network."""

from frequency.dct import coefficients, image
from frequency.errors import FrequencyError, PayloadError, ProfileError, WrongProfileError
from frequency.picture import PictureError, fit, open_rgb
from frequency.profile import Profile
from frequency.quantise import dequantise, quantise
from frequency.tables import fit_tables, laplacian_tables

__all__ = [
    "FrequencyError",
    "PayloadError",
    "PictureError",
    "Profile",
    "ProfileError",
    "WrongProfileError",
    "coefficients",
    "dequantise",
    "fit",
    "fit_tables",
    "image",
    "laplacian_tables",
    "open_rgb",
    "quantise",
]
