"""Baselines for classification: an image, scaled down, as JPEG, WebP, AVIF or JPEG XL.

JPEG and WebP use their slowest settings, AVIF speed 6 and JPEG XL effort 7, their encoders' defaults, which already
take several times as long as Overtone's encoder. AVIF's slowest speed, 0, takes up to seconds an image, so it is tried
only where speed 6 is at its best.
"""

import io
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

Codec = Literal["jpeg", "webp", "avif", "avif-slow", "jxl", "cut"]
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
    "avif-slow": "AVIF, slowest",
    "jxl": "JPEG XL",
    "cut": "progressive JPEG, cut",
}
OPTIONS: dict[Codec, dict[str, Any]] = {
    "webp": {"method": 6},
    "avif": {"speed": 6, "max_threads": 1},
    "avif-slow": {"speed": 0, "max_threads": 1},
    "jxl": {"effort": 7},
}


@dataclass(frozen=True)
class Setting:
    """One way to send an image: codec, side in pixels, quality; of a cut JPEG also the bytes `kept`."""

    codec: Codec
    side: int
    quality: int
    kept: int = 0

    @property
    def family(self) -> str:
        """The codec: settings are eliminated in favour of others of the same codec alone."""
        return self.codec

    @property
    def document(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {name: value for name, value in asdict(self).items() if name != "kept" or value}


def has_jxl() -> bool:
    """Whether Pillow's plugin for JPEG XL is installed; Pillow has no support of its own."""
    return find_spec("pillow_jxl") is not None


def settings() -> list[Setting]:
    """All settings that are tried from the start."""
    codecs = [codec for codec in QUALITIES if codec != "jxl" or has_jxl()]
    whole = [
        Setting(codec, side, quality) for codec in codecs for side in SIDES for quality in QUALITIES[codec]
    ]
    return whole + [Setting("cut", side, CUT_QUALITY, kept) for side in CUT_SIDES for kept in KEPT]


def send(rgb: Pixels, setting: Setting) -> tuple[int, Pixels]:
    """Encode and decode an image uint8[side, side, 3]: how many bytes its file has, and the decoded image."""
    file = encoded(rgb, setting)
    if setting.codec != "cut":
        return len(file), decoded(file)
    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, True
    try:
        return len(file), decoded(file)
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def encoded(rgb: Pixels, setting: Setting) -> bytes:
    """Encode an image uint8[side, side, 3] as a file."""
    if setting.codec == "jxl":
        import_module("pillow_jxl")  # registers the format with Pillow
    image, codec = Image.fromarray(rgb), setting.codec
    if codec not in ("jpeg", "cut"):
        return _encoded(image, codec.removesuffix("-slow"), setting.quality, **OPTIONS[codec])
    progressive = _encoded(image, "jpeg", setting.quality, optimize=True, progressive=True)
    if codec == "cut":
        return progressive[: setting.kept]
    # The shorter of two that decode to the same image.
    return min(_encoded(image, "jpeg", setting.quality, optimize=True), progressive, key=len)


def _encoded(image: Image.Image, kind: str, quality: int, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, quality=quality, **options)
    return file.getvalue()


def decoded(file: bytes) -> Pixels:
    """Decode a file that is not cut off to uint8[height, width, 3]."""
    with Image.open(io.BytesIO(file)) as image:
        return np.asarray(image.convert("RGB"))
