import os
import signal
import struct
import zlib
from collections.abc import Iterator
from io import BytesIO

import numpy as np
import pytest
from PIL import ExifTags, Image

from overtone.frequency import LetterBox, Profile, encode, letter_boxed
from overtone.gpu_server.errors import BadRequest, TooLarge
from overtone.gpu_server.pictures.picture_decoder import PictureDecoder
from overtone.gpu_server.pictures.picture_size import dimensions
from overtone.gpu_server.pictures.picture_worker import values_of
from overtone.gpu_server.settings import MIB
from tests.conftest import Photograph


def file_of(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def grey_png(side: int, said: int | None = None) -> bytes:
    """A legal PNG of one grey, a few kilobytes however large; `said` is what its header says instead of `side`."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pressed = zlib.compressobj(1)
    rows = b"".join(pressed.compress(bytes(1 + side)) for _ in range(side)) + pressed.flush()
    header = struct.pack(">IIBBBBB", said or side, said or side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.fixture
def decoder(tiny_profile: Profile) -> Iterator[PictureDecoder]:
    opened = PictureDecoder(tiny_profile, seconds=60, memory=256 * MIB)
    yield opened
    opened.close()


@pytest.fixture
def png(photograph: Photograph) -> bytes:
    return file_of(Image.fromarray(photograph), "PNG")


def decoded(decoder: PictureDecoder, encoded: bytes) -> np.ndarray:
    size = dimensions(encoded)
    assert size is not None
    values, letter_box = decoder.values(encoded, size[0] * size[1], cropped=False)
    assert letter_box is None
    return values


def test_a_process_decodes_as_this_one_does(
    decoder: PictureDecoder, png: bytes, tiny_profile: Profile
) -> None:
    assert decoder.idle == []  # it starts with the first picture
    np.testing.assert_array_equal(decoded(decoder, png), values_of(png, tiny_profile, False))
    (first,) = decoder.idle
    with pytest.raises(BadRequest):
        decoder.values(png[:200], 96 * 128, False)
    decoded(decoder, png)
    assert decoder.idle == [first]
    decoder.close()
    assert decoder.idle == []
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)


def test_its_niceness_counts_beside_this_process(decoder: PictureDecoder, png: bytes) -> None:
    decoded(decoder, png)
    (pid,) = decoder.idle
    # Linux compares the niceness of processes within a session, and Ctrl-C goes to a process group.
    assert os.getsid(pid) == os.getsid(0)
    assert os.getpgid(pid) != os.getpgid(0)
    assert os.getpriority(os.PRIO_PROCESS, pid) > os.getpriority(os.PRIO_PROCESS, 0)


def test_a_picture_that_takes_too_long_ends_its_process(decoder: PictureDecoder, png: bytes) -> None:
    decoded(decoder, png)
    (first,) = decoder.idle
    os.kill(first, signal.SIGSTOP)  # stands for a picture that takes for ever
    decoder.seconds = 0.01
    with pytest.raises(TooLarge, match="not decoded within"):
        decoded(decoder, png)
    assert decoder.idle == []
    decoder.seconds = 60
    decoded(decoder, png)
    assert decoder.idle != [first]


def test_a_process_that_died_is_replaced(decoder: PictureDecoder, png: bytes) -> None:
    decoded(decoder, png)
    (first,) = decoder.idle
    os.kill(first, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    decoded(decoder, png)
    assert decoder.idle != [first]


def test_a_picture_that_takes_too_much_memory_is_refused(tiny_profile: Profile, png: bytes) -> None:
    decoder = PictureDecoder(tiny_profile, seconds=60, memory=16 * MIB)
    try:
        with pytest.raises(TooLarge, match="memory"):
            decoded(decoder, grey_png(4890))
        decoded(decoder, png)
    finally:
        decoder.close()


def test_a_picture_is_held_to_what_it_said(decoder: PictureDecoder, png: bytes) -> None:
    with pytest.raises(BadRequest, match="says that it has 10 pixels"):
        decoder.values(png, 10, cropped=False)


def test_a_letter_boxed_picture_is_whole_and_upright(tiny_profile: Profile, photograph: Photograph) -> None:
    decoder = PictureDecoder(tiny_profile, seconds=60, memory=256 * MIB, letter_boxed=True)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # to be turned by a quarter, clockwise
    turned = file_of(Image.fromarray(photograph), "PNG", exif=exif)
    try:
        values, letter_box = decoder.values(turned, 96 * 128, cropped=False)
    finally:
        decoder.close()
    assert letter_box == LetterBox(64, 96, 128)
    upright = letter_boxed(Image.fromarray(np.rot90(photograph, -1)), 64)
    np.testing.assert_array_equal(values, encode(upright, tiny_profile).values)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True, "exif": b"Exif\0\0" + bytes(5000)}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"exif": b"Exif\0\0" + bytes(100)}),
    ],
)
def test_dimensions_are_read_without_a_decoder(kind: str, options: dict[str, object]) -> None:
    rng = np.random.default_rng(0)
    for width, height in ((1, 1), (37, 211), (1025, 8)):
        pixels = rng.integers(0, 255, (height, width, 3), np.uint8)
        encoded = file_of(Image.fromarray(pixels), kind, **options)
        assert dimensions(encoded) == (width, height)
        for length in range(0, len(encoded), 7):
            assert dimensions(encoded[:length]) in (None, (width, height))


def test_dimensions_of_no_picture_take_few_steps() -> None:
    for start in (b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"RIFF1234WEBP"):
        for byte in (b"\xff", b"\x00", b"\xd0", b"\xff\x01", b"\xff\xe0\x00\x00"):
            assert dimensions(start + byte * (1 << 20)) is None
