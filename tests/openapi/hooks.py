"""Bodies for schemathesis: any bytes, and payloads and pictures that the server can use."""

import io
import os

import numpy as np
import schemathesis
from hypothesis import strategies as st
from PIL import Image

from overtone.frequency import encode, fit, join, open_rgb
from overtone.models import read_card

PIXELS = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
PICTURES = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP"}


def bodies() -> list[bytes]:
    """A picture in one layer, two, ..., of the served model."""
    profile = read_card(os.environ.get("OVERTONE_MODEL", "photographs")).profile
    layers = encode(fit(open_rgb(PIXELS), profile.size), profile).layers
    return [join(layers[:count]) for count in range(1, len(layers) + 1)]


def picture(kind: str) -> bytes:
    """A picture as a file."""
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, kind)
    return file.getvalue()


schemathesis.openapi.media_type("application/vnd.overtone", st.binary() | st.sampled_from(bodies()))
schemathesis.serializer.alias("application/vnd.overtone", "application/octet-stream")
for media, kind in PICTURES.items():
    schemathesis.openapi.media_type(media, st.binary() | st.just(picture(kind)))
    schemathesis.serializer.alias(media, "application/octet-stream")
