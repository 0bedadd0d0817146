"""What a picture becomes: what the server sees at each stage, and what every channel costs.

The bits of a channel are those of the stream that was written: for each interval the rANS coder enters, its
width says how many bits that takes (-log2 of its share). What a payload holds beyond them is named: the
header, and the coder's end, which is its last state and the rounding to whole words. With these the numbers
of a band sum to its payload exactly.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from overtone.edge_client.image_files import jpeg_bytes
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
RGB = NDArray[np.uint8]


@dataclass(frozen=True)
class Channel:
    """One channel of the picture; energies are mean squares of coefficients.

    `energy` is the picture's, `lost` that of what quantising took away, `values` how many quantised
    coefficients are not zero, `bits` what they all took in the stream.
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
class Part:
    """One band's payload: header and coder's end, and the bits of its channels, sum to its bytes."""

    payload_bytes: int
    header_bytes: int
    end_bits: float
    channel_bits: float


@dataclass(frozen=True)
class Description:
    """A picture at one quality, `seen` uint8[S, S, 3] from low alone and from low and high."""

    quality: int
    low: Part
    high: Part
    channels: tuple[Channel, ...]
    seen: tuple[RGB, RGB]

    @property
    def payload_bytes(self) -> tuple[int, int]:
        """Of low alone, and of both."""
        return self.low.payload_bytes, self.low.payload_bytes + self.high.payload_bytes

    def document(self) -> dict[str, Any]:
        """What JSON can hold of it."""
        return {
            "quality": self.quality,
            "low": asdict(self.low),
            "high": asdict(self.high),
            "channels": [asdict(channel) for channel in self.channels],
        }


@dataclass(frozen=True)
class Portrait:
    """A picture uint8[S, S, 3] as cropped for the network, and its descriptions, one for each quality.

    `jpeg_bytes` is what optimised JPEGs of quality 75 take that hold as much: a quarter of the side (the
    content of low), half of it (low and high), and all.
    """

    original: RGB
    jpeg_bytes: tuple[int, int, int]
    descriptions: tuple[Description, ...]


def portray(picture: Image.Image, profile: Profile, qualities: tuple[int, ...]) -> Portrait:
    """Encode, decode and measure.

    Raises:
        ProfileError: the profile has no such quality.
    """
    rgb = fit(picture, profile.size)
    quarter, half, full = (
        jpeg_bytes(picture, side) for side in (profile.size // 2, profile.size, 2 * profile.size)
    )
    return Portrait(rgb, (quarter, half, full), tuple(describe(rgb, profile, q) for q in qualities))


def describe(rgb: RGB, profile: Profile, quality: int) -> Description:
    """A picture uint8[S, S, 3] at one quality, measured on what its payloads decode to."""
    sent = encode(rgb, profile, quality)
    low = decode_low(sent.low, profile)
    planes = np.concatenate([low, decode_high(sent.high, low, profile)])
    numbers, steps = profile.low + profile.high, _steps(profile, quality)
    exact, heard = coefficients(rgb, numbers), dequantise(planes, steps)
    split = len(profile.low)
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
            lost=_mean_square(exact[i] - heard[i]),
            values=int(np.count_nonzero(planes[i])),
            bits=bits,
        )
        for i, (number, bits) in enumerate(zip(numbers, low_bits + high_bits, strict=True))
    )
    return Description(
        quality,
        _part(sent.low, sum(low_bits)),
        _part(sent.high, sum(high_bits)),
        channels,
        (image(heard[:split], profile.low), image(heard, numbers)),
    )


def _part(payload: bytes, bits: float) -> Part:
    header = read_header(payload).length
    return Part(len(payload), header, 8 * (len(payload) - header) - bits, bits)


def _steps(profile: Profile, quality: int) -> NDArray[np.float32]:
    return np.concatenate([profile.low_steps(quality), profile.high_steps(quality)])


def _mean_square(values: NDArray[np.float32]) -> float:
    return float(np.mean(np.square(values, dtype=np.float64)))
