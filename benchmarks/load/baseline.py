"""What a device would upload without Overtone: the same picture, cropped alike, as a JPEG or a WebP."""

import io
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, cast

from PIL import Image

from overtone.frequency import fit, open_rgb

Codec = Literal["jpeg", "webp"]
_NAME = re.compile(r"(jpeg|webp)-(\d+)-(\d+)")
LARGEST = 4096


@dataclass(frozen=True)
class Rival:
    """A codec, the side of the square it is given in pixels, and its quality from 0 to 100.

    Both codecs get all the time they want (JPEG optimised, WebP with its slowest method), as a device that
    counts bytes would.
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
        match = _NAME.fullmatch(text)
        if match is None:
            raise ValueError(f"cannot read the upload {text!r}: write jpeg-224-75 or webp-112-40")
        return cls(cast(Codec, match[1]), int(match[2]), int(match[3]))

    def __str__(self) -> str:
        return f"{self.codec}-{self.side}-{self.quality}"

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.name} {self.side} px q{self.quality}"

    @property
    def name(self) -> str:
        """Of the codec, for people."""
        return {"jpeg": "JPEG", "webp": "WebP"}[self.codec]

    @property
    def media_type(self) -> str:
        """For its HTTP header."""
        return f"image/{self.codec}"

    def encode(self, path: Path) -> tuple[bytes, float]:
        """The file, and the milliseconds it took, counted as `edge_client.pictures.code` does."""
        start = time.perf_counter()
        body = self.compress(Image.fromarray(fit(open_rgb(path, self.side), self.side)))
        return body, 1e3 * (time.perf_counter() - start)

    def compress(self, picture: Image.Image) -> bytes:
        """A picture as it is, compressed."""
        buffer = io.BytesIO()
        if self.codec == "jpeg":
            picture.save(buffer, "JPEG", quality=self.quality, optimize=True)
        else:
            picture.save(buffer, "WEBP", quality=self.quality, method=6)
        return buffer.getvalue()
