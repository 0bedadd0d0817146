"""The codec: pixels to DCT coefficients to payloads, and back. Needs numpy and Pillow; no torch, no network.

The entropy coder is written twice, in C and in numpy, and both write the same bytes. `accelerated` says whether
the C extension was built and is used.
"""

from overtone.frequency.block_mask import BlockMask
from overtone.frequency.codec import (
    Decoded,
    Encoded,
    decode,
    encode,
    encode_further,
    encode_region,
    encode_values,
    known_values,
)
from overtone.frequency.coder import accelerated
from overtone.frequency.dct import coefficients, image
from overtone.frequency.errors import FrequencyError, PayloadError, ProfileError, WrongProfileError
from overtone.frequency.framing import join, split
from overtone.frequency.header import Header, read_header, read_start
from overtone.frequency.ladder import THREE_LAYERS, TWO_LAYERS, Layer
from overtone.frequency.letter_box import LetterBox, letter_boxed
from overtone.frequency.pixels import ImageError, Source, fit, open_rgb
from overtone.frequency.prior import prior_tables
from overtone.frequency.profile import Profile
from overtone.frequency.profile_part import pack_part, part_of, unpack_part
from overtone.frequency.quantise import dequantise, quantise
from overtone.frequency.tables import Tables

__all__ = [
    "THREE_LAYERS",
    "TWO_LAYERS",
    "BlockMask",
    "Decoded",
    "Encoded",
    "FrequencyError",
    "Header",
    "ImageError",
    "Layer",
    "LetterBox",
    "PayloadError",
    "Profile",
    "ProfileError",
    "Source",
    "Tables",
    "WrongProfileError",
    "accelerated",
    "coefficients",
    "decode",
    "dequantise",
    "encode",
    "encode_further",
    "encode_region",
    "encode_values",
    "fit",
    "image",
    "join",
    "known_values",
    "letter_boxed",
    "open_rgb",
    "pack_part",
    "part_of",
    "prior_tables",
    "quantise",
    "read_header",
    "read_start",
    "split",
    "unpack_part",
]
