"""An image at each stage: what the server decodes, and what every channel costs.

The bits of a channel are those of the actual stream: for each interval that the rANS coder encodes, -log2 of
its share. The rest of a payload is the header and the coder's end, which is its final state and the rounding
to whole words. Together they add up to the payload exactly.
"""

import io
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from overtone.frequency import (
    Profile,
    coefficients,
    decode_high,
    decode_low,
    dequantise,
    encode,
    fit,
    image,
    read_header,
)
from overtone.frequency.channels import BLOCK
from overtone.frequency.header import Band
from overtone.frequency.stream import channel_bits

COMPONENTS = ("Y", "Cb", "Cr")
JPEG_QUALITY = 75
RGB = NDArray[np.uint8]


@dataclass(frozen=True)
class Channel:
    """One channel of the image; energies are mean squares of coefficients.

    `energy` is the original's, `lost` that of the quantisation error, `values` how many quantised
    coefficients are not zero, `bits` what all of them take in the stream.
    """

    channel: int
    component: str
    v: int
    u: int
    band: Band
    step: float
    energy: float
    lost: float
    values: int
    bits: float

    @property
    def label(self) -> str:
        """Component and frequency, as `Cb 0,1`: vertical, then horizontal."""
        return f"{self.component} {self.v},{self.u}"


@dataclass(frozen=True)
class Payload:
    """The size of one band's payload: header, coder's end and channels add up to its bytes."""

    payload_bytes: int
    header_bytes: int
    end_bits: float
    channel_bits: float


@dataclass(frozen=True)
class Description:
    """An image at one quality; `seen` is uint8[S, S, 3] decoded from low alone, and from low and high."""

    quality: int
    low: Payload
    high: Payload
    channels: tuple[Channel, ...]
    seen: tuple[RGB, RGB]

    @property
    def payload_bytes(self) -> tuple[int, int]:
        """Of low alone, and of both."""
        return self.low.payload_bytes, self.low.payload_bytes + self.high.payload_bytes

    def document(self) -> dict[str, Any]:
        """Plain values for JSON, without the images."""
        return {
            "quality": self.quality,
            "low": asdict(self.low),
            "high": asdict(self.high),
            "channels": [asdict(channel) for channel in self.channels],
        }


@dataclass(frozen=True)
class ImageDescription:
    """An image uint8[S, S, 3] as cropped for the network, and one description for each quality.

    `jpeg_bytes` are the sizes of optimised JPEGs of quality 75 at a quarter of the side (the content of low),
    at half of it (low and high), and at the full side.
    """

    original: RGB
    jpeg_bytes: tuple[int, int, int]
    descriptions: tuple[Description, ...]


def describe_image(source: Image.Image, profile: Profile, qualities: tuple[int, ...]) -> ImageDescription:
    """Encode, decode and measure an image at some qualities.

    Raises:
        ProfileError: the profile has no such quality.
    """
    rgb = fit(source, profile.size)
    quarter, half, full = (jpeg_bytes(source, profile.size // divisor) for divisor in (4, 2, 1))
    return ImageDescription(rgb, (quarter, half, full), tuple(describe(rgb, profile, q) for q in qualities))


def jpeg_bytes(source: Image.Image, side: int) -> int:
    """The size of the image's centre square as an optimised JPEG of quality 75 with `side` pixels."""
    file = io.BytesIO()
    Image.fromarray(fit(source, side)).save(file, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return file.tell()


def describe(rgb: RGB, profile: Profile, quality: int) -> Description:
    """An image uint8[S, S, 3] at one quality, measured on what its payloads decode to."""
    sent = encode(rgb, profile, quality)
    low = decode_low(sent.low, profile)
    planes = np.concatenate([low, decode_high(sent.high, low, profile)])
    numbers, split = profile.low + profile.high, len(profile.low)
    steps = np.concatenate([profile.low_steps(quality), profile.high_steps(quality)])
    exact, decoded = coefficients(rgb, numbers), dequantise(planes, steps)
    low_bits = channel_bits(low, profile.plan("low", quality)).tolist()
    high_bits = channel_bits(planes, profile.plan("high", quality)).tolist()
    channels = tuple(
        Channel(
            channel=number,
            component=COMPONENTS[number // BLOCK**2],
            v=number % BLOCK**2 // BLOCK,
            u=number % BLOCK,
            band="low" if i < split else "high",
            step=float(steps[i]),
            energy=_mean_square(exact[i]),
            lost=_mean_square(exact[i] - decoded[i]),
            values=int(np.count_nonzero(planes[i])),
            bits=bits,
        )
        for i, (number, bits) in enumerate(zip(numbers, low_bits + high_bits, strict=True))
    )
    seen = image(decoded[:split], profile.low), image(decoded, numbers)
    return Description(
        quality, _payload(sent.low, sum(low_bits)), _payload(sent.high, sum(high_bits)), channels, seen
    )


def _payload(payload: bytes, bits: float) -> Payload:
    header = read_header(payload).length
    return Payload(len(payload), header, 8 * (len(payload) - header) - bits, bits)


def _mean_square(values: NDArray[np.float32]) -> float:
    return float(np.mean(np.square(values, dtype=np.float64)))
