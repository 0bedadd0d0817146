"""From a path, bytes, an array or a Pillow image to payloads."""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overtone.edge_client.errors import BadImage
from overtone.edge_client.task import Task
from overtone.frequency import (
    Encoded,
    FrequencyError,
    ImageError,
    Profile,
    Source,
    encode,
    fit,
    letter_boxed,
    open_rgb,
)

PictureSize = tuple[int, int]


@dataclass(frozen=True)
class EncodedImage:
    """The payloads of an image, the profile they were made for, and how long it took to make them.

    `picture` is the size (width, height) in pixels of one that was encoded for a detector; None for a classifier.
    """

    encoded: Encoded
    profile_id: bytes
    milliseconds: float
    picture: PictureSize | None = None

    @property
    def task(self) -> Task:
        """The task of the models that the image was encoded for."""
        return "classify" if self.picture is None else "detect"


def encode_image(
    source: Source, profile: Profile, quality: int | None = None, *, task: Task = "classify"
) -> EncodedImage:
    """Read, fit and encode an image. This takes milliseconds, so do not call it on an event loop.

    A classifier gets the centre of the image, a detector all of it in a letter box.

    Raises:
        BadImage: the image cannot be read, or the profile has no such quality.
    """
    start = time.perf_counter()
    try:
        square, picture = _square(source, profile.size, task)
        encoded = encode(square, profile, quality)
    except (ImageError, FrequencyError, TypeError) as error:
        raise BadImage(str(error)) from error
    return EncodedImage(encoded, profile.id, 1e3 * (time.perf_counter() - start), picture)


def _square(source: Source, size: int, task: Task) -> tuple[NDArray[np.uint8], PictureSize | None]:
    """The square to encode, uint8[size, size, 3], and for a detector the size of the picture in it."""
    if task == "classify":
        return fit(open_rgb(source, size), size), None
    image = open_rgb(source)  # not shrunk by the decoder, which would round its size
    return letter_boxed(image, size), image.size
