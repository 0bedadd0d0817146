"""What a device would send without Overtone: a picture, shrunk, as JPEG, WebP, AVIF or JPEG XL.

JPEG and WebP get all the time they want, as where bytes are dear. AVIF has speed 6, its encoder's own choice,
which already takes several times as long as all of ours; `python -m overtone.benchmarks.curve.avif` prints what slower
ones would save. JPEG XL has effort 7, its encoder's own choice too (9 saves some bytes, and is beaten by WebP
and AVIF all the same at these sizes).
"""

import io
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from overtone.benchmarks.curve.containers import bare_avif, bare_jpeg, bare_webp

Codec = Literal["jpeg", "webp", "avif", "jxl", "cut"]
Pixels = NDArray[np.uint8]

SIDES = (64, 80, 96, 112, 128, 160, 192, 224)
QUALITIES: dict[Codec, tuple[int, ...]] = {
    "jpeg": (5, 10, 20, 35, 55, 75),
    "webp": (0, 4, 10, 25, 40, 60),
    "avif": (0, 8, 15, 25, 35, 50),
    "jxl": (0, 10, 25, 45),
}
# Progressive JPEGs that are cut: sides, quality, and the bytes that are kept.
CUT_SIDES, CUT_QUALITY, KEPT = (112, 160, 224), 50, (600, 900, 1300, 1900, 2800)
TITLES: dict[Codec, str] = {
    "jpeg": "JPEG",
    "webp": "WebP",
    "avif": "AVIF",
    "jxl": "JPEG XL",
    "cut": "progressive JPEG, cut",
}


@dataclass(frozen=True)
class Way:
    """One way to send a picture: codec, side in pixels, quality; of a cut JPEG also the bytes `kept`."""

    codec: Codec
    side: int
    quality: int
    kept: int = 0

    @property
    def settings(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {k: v for k, v in asdict(self).items() if k != "kept" or v}


@dataclass(frozen=True)
class Sent:
    """Bytes of the file, whole and `bare` (`benchmarks.curve.containers`), and the picture that comes out."""

    bytes: int
    bare: int
    rgb: Pixels


def has_jxl() -> bool:
    """Whether Pillow's plugin for JPEG XL is installed; Pillow has none of its own."""
    return find_spec("pillow_jxl") is not None


def ways() -> list[Way]:
    """All that are tried."""
    codecs = [codec for codec in QUALITIES if codec != "jxl" or has_jxl()]
    whole = [Way(codec, side, quality) for codec in codecs for side in SIDES for quality in QUALITIES[codec]]
    return whole + [Way("cut", side, CUT_QUALITY, kept) for side in CUT_SIDES for kept in KEPT]


def send(rgb: Pixels, way: Way) -> Sent:
    """A picture uint8[side, side, 3] through a codec and back."""
    return _SENDERS[way.codec](Image.fromarray(rgb), way)


def _written(picture: Image.Image, kind: str, way: Way, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, quality=way.quality, **options)
    return file.getvalue()


def _read(file: bytes) -> Pixels:
    with Image.open(io.BytesIO(file)) as picture:
        return np.asarray(picture.convert("RGB"))


def _jpeg(picture: Image.Image, way: Way) -> Sent:
    """The shorter of optimised and progressive; they hold the same picture."""
    plain = _written(picture, "jpeg", way)
    own = [_written(picture, "jpeg", way, optimize=True, progressive=p) for p in (False, True)]
    bare = min(bare_jpeg(plain, tables=False), *(bare_jpeg(file, tables=True) for file in own))
    return Sent(min(map(len, own)), bare, _read(plain))


def _cut(picture: Image.Image, way: Way) -> Sent:
    """The first bytes of a progressive JPEG: every scan so far, and part of the next."""
    file = _written(picture, "jpeg", way, progressive=True, optimize=True)[: way.kept]
    whole, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, True
    try:
        return Sent(len(file), bare_jpeg(file, tables=True), _read(file))
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = whole


def _webp(picture: Image.Image, way: Way) -> Sent:
    file = _written(picture, "webp", way, method=6)
    return Sent(len(file), bare_webp(file), _read(file))


def _avif(picture: Image.Image, way: Way) -> Sent:
    file = _written(picture, "avif", way, speed=6, max_threads=1)
    return Sent(len(file), bare_avif(file), _read(file))


def _jxl(picture: Image.Image, way: Way) -> Sent:
    """A bare codestream already."""
    import_module("pillow_jxl")  # Pillow learns the format from it.
    file = _written(picture, "jxl", way, effort=7)
    return Sent(len(file), len(file), _read(file))


_SENDERS: dict[Codec, Callable[[Image.Image, Way], Sent]] = {
    "jpeg": _jpeg,
    "webp": _webp,
    "avif": _avif,
    "jxl": _jxl,
    "cut": _cut,
}
