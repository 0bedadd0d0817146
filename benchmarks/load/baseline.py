"""The baseline of load tests and sweeps: a device that uploads the same crop as a JPEG or a WebP."""

import io
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, cast

from overtone.edge_client.image_files import scaled
from overtone.edge_client.task import Task

Codec = Literal["jpeg", "webp"]
NAMES: dict[Codec, str] = {"jpeg": "JPEG", "webp": "WebP"}
_TEXT = re.compile(r"(jpeg|webp)-(\d+)-(\d+)")
LARGEST = 4096


@dataclass(frozen=True)
class Baseline:
    """A codec, the side of the square in pixels, and the codec's quality from 0 to 100.

    Both codecs use their slowest setting (JPEG optimised, WebP method 6), as a device that saves bytes would.
    """

    codec: Codec
    side: int
    quality: int

    def __post_init__(self) -> None:
        if not 8 <= self.side <= LARGEST:
            raise ValueError(f"a side of {self.side} pixels: choose from 8 to {LARGEST}")
        if not 0 <= self.quality <= 100:
            raise ValueError(f"no {self.codec} quality {self.quality}: choose from 0 to 100")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "jpeg-224-75": codec, side, quality.

        Raises:
            ValueError: anything else.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError(f"cannot read the upload {text!r}: write jpeg-224-75 or webp-112-40")
        return cls(cast(Codec, match[1]), int(match[2]), int(match[3]))

    def __str__(self) -> str:
        return f"{self.codec}-{self.side}-{self.quality}"

    @property
    def name(self) -> str:
        """The codec's name for people."""
        return NAMES[self.codec]

    @property
    def title(self) -> str:
        """Codec, side and quality for people."""
        return f"{self.name} {self.side} px q{self.quality}"

    @property
    def media_type(self) -> str:
        """The media type for the HTTP header."""
        return f"image/{self.codec}"

    def encode(self, path: Path, task: Task = "classify") -> tuple[bytes, float]:
        """Open and encode an image: the file, and the milliseconds that this took.

        For a detector the file holds the whole picture, scaled so that its longest side is `side`.
        """
        start = time.perf_counter()
        image = scaled(path, self.side, task)
        buffer = io.BytesIO()
        if self.codec == "jpeg":
            image.save(buffer, "JPEG", quality=self.quality, optimize=True)
        else:
            image.save(buffer, "WEBP", quality=self.quality, method=6)
        return buffer.getvalue(), 1e3 * (time.perf_counter() - start)
