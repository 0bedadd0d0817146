"""From a path, bytes, an array or a Pillow image to payloads."""

import time
from dataclasses import dataclass

from overtone.edge_client.errors import BadImage
from overtone.frequency import Encoded, FrequencyError, ImageError, Profile, Source, encode, fit, open_rgb


@dataclass(frozen=True)
class EncodedImage:
    """The payloads of an image, the profile they were made for, and how long it took to make them."""

    encoded: Encoded
    profile_id: bytes
    milliseconds: float


def encode_image(source: Source, profile: Profile, quality: int | None = None) -> EncodedImage:
    """Read, fit and encode an image. This takes milliseconds, so do not call it on an event loop.

    Raises:
        BadImage: the image cannot be read, or the profile has no such quality.
    """
    start = time.perf_counter()
    try:
        encoded = encode(fit(open_rgb(source, profile.size), profile.size), profile, quality)
    except (ImageError, FrequencyError, TypeError) as error:
        raise BadImage(str(error)) from error
    return EncodedImage(encoded, profile.id, 1e3 * (time.perf_counter() - start))
