"""The description of an image: its pixels as decoded after each layer, and the bits that every channel takes.

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
    Decoded,
    Profile,
    coefficients,
    decode,
    dequantise,
    encode,
    fit,
    image,
    read_header,
)
from overtone.frequency.channels import BLOCK
from overtone.frequency.ladder import Band
from overtone.frequency.stream import channel_bits

COMPONENTS = ("Y", "Cb", "Cr")
JPEG_QUALITY = 75
RGB = NDArray[np.uint8]


@dataclass(frozen=True)
class Channel:
    """One channel of the image; energies are mean squares of coefficients.

    `energy` is the original's, `lost` that of the quantisation error after all layers, `values` the number of quantised
    coefficients that are not zero, `layer_bits` the bits of the channel in the stream of each layer.
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
    layer_bits: tuple[float, ...]

    @property
    def bits(self) -> float:
        """Bits in all layers."""
        return sum(self.layer_bits)

    @property
    def label(self) -> str:
        """Component and frequency, as `Cb 0,1`: vertical, then horizontal."""
        return f"{self.component} {self.v},{self.u}"


@dataclass(frozen=True)
class Payload:
    """One layer, and the size of its payload: header, coder's end and channels add up to its bytes."""

    band: Band
    factor: int
    payload_bytes: int
    header_bytes: int
    end_bits: float
    channel_bits: float

    @property
    def name(self) -> str:
        """The band, and the factor of its steps if it is not 1."""
        return self.band if self.factor == 1 else f"{self.band} x{self.factor}"


@dataclass(frozen=True)
class Description:
    """An image at one quality; `seen` is uint8[S, S, 3] decoded from the first, the first two, ... layers."""

    quality: int
    layers: tuple[Payload, ...]
    channels: tuple[Channel, ...]
    seen: tuple[RGB, ...]

    @property
    def payload_bytes(self) -> tuple[int, ...]:
        """The bytes of the first layer, of the first two, and so on."""
        return tuple(np.cumsum([layer.payload_bytes for layer in self.layers]).tolist())

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the first layer, of the first two, and so on."""
        names = [layer.name for layer in self.layers]
        return tuple(f"+ {name}" if number else name for number, name in enumerate(names))

    def document(self) -> dict[str, Any]:
        """Plain values for JSON, without the images."""
        return {
            "quality": self.quality,
            "layers": [asdict(layer) for layer in self.layers],
            "channels": [asdict(channel) | {"bits": channel.bits} for channel in self.channels],
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
    sent = encode(rgb, profile, quality).layers
    known = [decode(sent[:count], profile) for count in range(1, len(sent) + 1)]
    below = [None, *known[:-1]]
    bits = np.stack([layer_bits(*pair, profile) for pair in zip(known, below, strict=True)])
    numbers, split = profile.low + profile.high, len(profile.low)
    exact, decoded = coefficients(rgb, numbers), dequantise(known[-1].values, known[-1].steps)
    channels = tuple(
        Channel(
            channel=number,
            component=COMPONENTS[number // BLOCK**2],
            v=number % BLOCK**2 // BLOCK,
            u=number % BLOCK,
            band="low" if i < split else "high",
            step=float(known[-1].steps[i]),
            energy=_mean_square(exact[i]),
            lost=_mean_square(exact[i] - decoded[i]),
            values=int(np.count_nonzero(known[-1].values[i])),
            layer_bits=tuple(bits[:, i].tolist()),
        )
        for i, number in enumerate(numbers)
    )
    layers = tuple(
        _payload(payload, profile, number, float(bits[number].sum())) for number, payload in enumerate(sent)
    )
    seen = (image(dequantise(each.values, each.steps), numbers[: len(each.values)]) for each in known)
    return Description(quality, layers, channels, tuple(seen))


def layer_bits(known: Decoded, below: Decoded | None, profile: Profile) -> NDArray[np.float64]:
    """Bits of every channel, float64[C], in the stream of the last known layer, given what is known `below` it."""
    layer = known.layers - 1
    coded = profile.channels_of(layer)
    before = known.values[:0] if below is None else below.values
    found = np.zeros(len(profile.low + profile.high))
    found[coded] = channel_bits(before, known.values[coded], profile.plan(layer, known.quality))
    return found


def _payload(payload: bytes, profile: Profile, number: int, bits: float) -> Payload:
    layer, header = profile.ladder[number], read_header(payload, len(profile.ladder)).length
    end = 8 * (len(payload) - header) - bits
    return Payload(layer.band, layer.factor, len(payload), header, end, bits)


def _mean_square(values: NDArray[np.float32]) -> float:
    return float(np.mean(np.square(values, dtype=np.float64)))
