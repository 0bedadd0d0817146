"""The process in which pictures are decoded: `python -m overtone.gpu_server.pictures.picture_worker`.

It reads requests from standard input and writes replies to standard output, each after its length. It has no sockets,
may write no files and use only so much memory, so that a malicious picture harms nothing but this process. Its parent,
a `PictureDecoder`, kills it when a picture takes too long.
"""

import contextlib
import io
import os
import struct
import sys
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from overtone.frequency import ImageError, Profile, coefficients, fit, letter_boxed, open_rgb, quantise

LENGTH = struct.Struct("<I")
# The head of a request, before the file: pixels by its header, whether it is cropped already, whether to letter-box it.
REQUEST = struct.Struct("<Q??")
FORMATS = ("JPEG", "PNG", "WEBP")
# First byte of a reply. A picture's width, height and values follow, or a sentence.
VALUES, UNREADABLE, TOO_LARGE = b"V", b"U", b"L"
READY = b"R"
SIZE = struct.Struct("<II")
# Pictures are decoded when nothing else needs the processor.
NICENESS = 10


def read_frame(source: IO[bytes]) -> bytes | None:
    """The next message; None at the end of the stream, also within a message."""
    head = source.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    message = source.read(length)
    return message if len(message) == length else None


def frame(message: bytes) -> bytes:
    """A message after its length."""
    return LENGTH.pack(len(message)) + message


def values_of(encoded: bytes, profile: Profile, cropped: bool) -> NDArray[np.int16]:
    """Values int16[C, h, w] that a device would have sent of this file at the profile's default quality.

    Raises:
        ImageError: it cannot be read.
    """
    return _quantised(fit(open_rgb(encoded, profile.size), profile.size, cropped=cropped), profile)


def letter_boxed_values(encoded: bytes, profile: Profile) -> tuple[NDArray[np.int16], tuple[int, int]]:
    """Values int16[C, h, w] of the whole picture in the corner of a square, and its upright width and height.

    Raises:
        ImageError: it cannot be read.
    """
    picture = open_rgb(encoded)
    return _quantised(letter_boxed(picture, profile.size), profile), picture.size


def _quantised(pixels: NDArray[np.uint8], profile: Profile) -> NDArray[np.int16]:
    quality = profile.quality
    steps = profile.known_steps(quality, len(profile.ladder))
    return quantise(coefficients(pixels, profile.low + profile.high), steps, profile.threshold(quality))


def reply(request: bytes, profile: Profile) -> bytes:
    """The reply to a request."""
    most, cropped, boxed = REQUEST.unpack_from(request)
    encoded = request[REQUEST.size :]
    try:
        _check(encoded, most)
        if boxed:
            values, size = letter_boxed_values(encoded, profile)
        else:
            values, size = values_of(encoded, profile, cropped), (profile.size, profile.size)
        return VALUES + SIZE.pack(*size) + values.astype("<i2").tobytes()
    except MemoryError:
        return TOO_LARGE + b"the picture takes more memory than the server gives to one"
    except ImageError as error:
        return UNREADABLE + str(error).encode()


def _check(encoded: bytes, most: int) -> None:
    """Refuse a picture with more pixels than its header says.

    Raises:
        ImageError: it has more, or cannot be read.
    """
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as opened:
            pixels = opened.width * opened.height
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ImageError(f"the picture cannot be read ({error})") from None
    if pixels > most:
        raise ImageError(f"the picture says that it has {most} pixels, and has {pixels}")


def confine(memory: int) -> None:
    """Limit this process to `memory` bytes more than it has now, and forbid it to write files."""
    with contextlib.suppress(ImportError):  # Windows has neither limits nor niceness
        import resource

        with contextlib.suppress(OSError), open("/proc/self/statm") as statm:
            used = int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
            resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.nice(NICENESS)


def _example() -> bytes:
    """A small picture."""
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "PNG")
    return file.getvalue()


def main() -> None:
    """Serve until the parent closes the pipe."""
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no reply
    profile = Profile.from_json(read_frame(requests) or b"")
    # Libraries allocate memory the first time, which is not to count against a picture.
    values_of(_example(), profile, cropped=False)
    confine(int(sys.argv[1]))
    replies.write(frame(READY))
    replies.flush()
    while (request := read_frame(requests)) is not None:
        replies.write(frame(reply(request, profile)))
        replies.flush()


if __name__ == "__main__":
    main()
