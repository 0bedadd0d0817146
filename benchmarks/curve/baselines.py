"""What a device could send without Overtone: an image, shrunk, as JPEG, WebP, AVIF or JPEG XL.

JPEG and WebP use their slowest settings. AVIF uses speed 6 and JPEG XL effort 7, their encoders' defaults,
which already take several times as long as Overtone's encoder (docs/bytes.md says what slower ones would save).
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
# Progressive JPEGs that are cut off: sides, quality, and the bytes that are kept.
CUT_SIDES, CUT_QUALITY, KEPT = (112, 160, 224), 50, (600, 900, 1300, 1900, 2800)
TITLES: dict[Codec, str] = {
    "jpeg": "JPEG",
    "webp": "WebP",
    "avif": "AVIF",
    "jxl": "JPEG XL",
    "cut": "progressive JPEG, cut",
}


@dataclass(frozen=True)
class Setting:
    """One way to send an image: codec, side in pixels, quality; of a cut JPEG also the bytes `kept`."""

    codec: Codec
    side: int
    quality: int
    kept: int = 0

    @property
    def document(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {name: value for name, value in asdict(self).items() if name != "kept" or value}


@dataclass(frozen=True)
class Sent:
    """Bytes of the file, whole and `bare` (`benchmarks.curve.containers`), and the decoded image."""

    bytes: int
    bare: int
    rgb: Pixels


def has_jxl() -> bool:
    """Whether Pillow's plugin for JPEG XL is installed; Pillow has no support of its own."""
    return find_spec("pillow_jxl") is not None


def settings() -> list[Setting]:
    """All settings that are tried."""
    codecs = [codec for codec in QUALITIES if codec != "jxl" or has_jxl()]
    whole = [
        Setting(codec, side, quality) for codec in codecs for side in SIDES for quality in QUALITIES[codec]
    ]
    return whole + [Setting("cut", side, CUT_QUALITY, kept) for side in CUT_SIDES for kept in KEPT]


def send(rgb: Pixels, setting: Setting) -> Sent:
    """An image uint8[side, side, 3] through a codec and back."""
    return _SENDERS[setting.codec](Image.fromarray(rgb), setting)


def _encoded(image: Image.Image, kind: str, setting: Setting, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, quality=setting.quality, **options)
    return file.getvalue()


def _decoded(file: bytes) -> Pixels:
    with Image.open(io.BytesIO(file)) as image:
        return np.asarray(image.convert("RGB"))


def _jpeg(image: Image.Image, setting: Setting) -> Sent:
    """The shorter of optimised and progressive; they decode to the same image."""
    plain = _encoded(image, "jpeg", setting)
    own = [_encoded(image, "jpeg", setting, optimize=True, progressive=p) for p in (False, True)]
    bare = min(bare_jpeg(plain, tables=False), *(bare_jpeg(file, tables=True) for file in own))
    return Sent(min(map(len, own)), bare, _decoded(plain))


def _cut(image: Image.Image, setting: Setting) -> Sent:
    """The first bytes of a progressive JPEG: some complete scans and part of the next."""
    file = _encoded(image, "jpeg", setting, progressive=True, optimize=True)[: setting.kept]
    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, True
    try:
        return Sent(len(file), bare_jpeg(file, tables=True), _decoded(file))
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def _webp(image: Image.Image, setting: Setting) -> Sent:
    file = _encoded(image, "webp", setting, method=6)
    return Sent(len(file), bare_webp(file), _decoded(file))


def _avif(image: Image.Image, setting: Setting) -> Sent:
    file = _encoded(image, "avif", setting, speed=6, max_threads=1)
    return Sent(len(file), bare_avif(file), _decoded(file))


def _jxl(image: Image.Image, setting: Setting) -> Sent:
    """The plugin writes a codestream without a container."""
    import_module("pillow_jxl")  # registers the format with Pillow
    file = _encoded(image, "jxl", setting, effort=7)
    return Sent(len(file), len(file), _decoded(file))


_SENDERS: dict[Codec, Callable[[Image.Image, Setting], Sent]] = {
    "jpeg": _jpeg,
    "webp": _webp,
    "avif": _avif,
    "jxl": _jxl,
    "cut": _cut,
}
