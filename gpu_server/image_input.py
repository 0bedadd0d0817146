"""The two forms in which an image arrives, payloads of its layers or a whole picture, and how each is decoded.

The transports hand either to the core, which takes from it layer after layer what the engine is to decode.
"""

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Protocol

from overtone.frequency import (
    Decoded,
    FrequencyError,
    ImageError,
    LetterBox,
    Profile,
    WrongProfileError,
    decode,
    known_values,
    read_header,
)
from overtone.gpu_server.decoded_image import DecodedImage
from overtone.gpu_server.engine.decoding import Source
from overtone.gpu_server.engine.inference import Prepare
from overtone.gpu_server.errors import BadRequest, TooLarge, UnknownMedia, WrongProfile
from overtone.gpu_server.pictures.picture_decoder import PictureDecoder
from overtone.gpu_server.pictures.picture_size import dimensions
from overtone.gpu_server.telemetry.metrics import Metrics


class ImageInput(Protocol):
    """One image as it was sent.

    Attributes:
        layers: how many of its first layers have arrived.
        peer: who sent it.
        bytes_used: bytes that have been taken so far.
    """

    layers: int
    peer: str
    bytes_used: int

    def take(self, layers: int, earlier: DecodedImage | None) -> tuple[Prepare, Source | None]:
        """A function that decodes the image up to this layer, and which of the engine's threads are to call it.

        Args:
            layers: the number of the last layer that is wanted.
            earlier: the image after the layers that were decoded before; None if none were.

        Returns:
            The function, and the kind of its input; None instead of a kind if nothing is left to decode.
        """


class PayloadInput:
    """The payloads of an image's first layers, or of those that follow the layers decoded before.

    Args:
        payloads: one for each layer, in order.
        profile: by which they were encoded.
        metrics: where bytes are counted, when they are taken or dropped.
        limit: bytes that each payload may have.
        before: how many layers were decoded before them.
        peer: who sent them.
        letter_box: where the picture lies in the image, if the device has sent the picture's size.

    Raises:
        BadRequest: there are no layers, or more than the profile has.
        TooLarge: a payload is above the limit.
    """

    def __init__(
        self,
        payloads: Sequence[bytes],
        profile: Profile,
        metrics: Metrics,
        limit: int,
        before: int = 0,
        peer: str = "",
        letter_box: LetterBox | None = None,
    ) -> None:
        self.peer = peer
        self.bytes_used = 0
        self.layers = before + len(payloads)
        self._letter_box = letter_box
        self._payloads = payloads
        self._before = before
        self._profile = profile
        self._metrics = metrics
        self._check(limit)

    def take(self, layers: int, earlier: DecodedImage | None) -> tuple[Prepare, Source | None]:
        """See `ImageInput`; the payloads up to this layer count as received from now on."""
        count = layers - self._before
        taken, self._payloads, first = self._payloads[:count], self._payloads[count:], self._before + 1
        for number, payload in enumerate(taken, first):
            self._metrics.received.labels(str(number)).inc(len(payload))
            self.bytes_used += len(payload)
        self._before = layers
        return partial(self._decode, taken, earlier), Source.PAYLOAD

    def hold(self) -> tuple[bytes, ...]:
        """Take out the payloads that no layer has needed yet, to be stored with the image."""
        held, self._payloads = tuple(self._payloads), ()
        return held

    def drop(self) -> None:
        """Count the payloads that were not taken as dropped, once it is certain that they will not be used."""
        self._metrics.dropped.inc(sum(map(len, self._payloads)))

    def _decode(self, payloads: Sequence[bytes], earlier: DecodedImage | None) -> DecodedImage:
        with service_errors():
            decoded = decode(payloads, self._profile, earlier.decoded if earlier else None)
        return DecodedImage.after(earlier, decoded, self._profile.ladder, self._letter_box)

    def _check(self, limit: int) -> None:
        most = len(self._profile.ladder)
        if not 1 <= self.layers <= most:
            raise BadRequest(f"need the payloads of 1 to {most} layers, got {self.layers}")
        largest = max(map(len, self._payloads), default=0)
        if largest > limit:
            raise TooLarge(f"a payload of {largest} bytes; the server accepts {limit}")


class PictureInput:
    """A JPEG, PNG or WebP; its layers are those that a device would have sent at the profile's quality.

    Args:
        encoded: the file.
        decoder: decodes it, for its profile.
        metrics: where its bytes are counted.
        most_pixels: pixels that it may have.
        cropped: as in `frequency.fit`, where pictures are not letter-boxed.
        peer: who sent it.

    Raises:
        UnknownMedia: the file has another format.
        BadRequest: its header does not contain its size.
        TooLarge: it has more than `most_pixels` pixels.
    """

    def __init__(
        self,
        encoded: bytes,
        decoder: PictureDecoder,
        metrics: Metrics,
        most_pixels: int,
        cropped: bool,
        peer: str = "",
    ) -> None:
        self.peer = peer
        self.bytes_used = 0
        self._profile = decoder.profile
        self.layers = len(self._profile.ladder)
        self.pixels = _pixels(encoded, most_pixels)
        self._encoded = encoded
        self._decoder = decoder
        self._cropped = cropped
        # The image after each number of layers; empty until the picture is decoded.
        self._decoded: list[DecodedImage] = []
        metrics.received.labels("picture").inc(len(encoded))

    def take(self, layers: int, earlier: DecodedImage | None) -> tuple[Prepare, Source | None]:
        """See `ImageInput`; the picture is decoded by the first call of the returned function alone."""
        self.bytes_used = len(self._encoded)
        return partial(self._up_to, layers, earlier), None if self._decoded else Source.IMAGE

    def _up_to(self, layers: int, earlier: DecodedImage | None) -> DecodedImage:
        self._decoded = self._decoded or self._decode()
        image = self._decoded[layers - 1]
        return DecodedImage.after(earlier, image.decoded, self._profile.ladder, image.letter_box)

    def _decode(self) -> list[DecodedImage]:
        """The image after each number of layers, from 1 to all."""
        profile, quality = self._profile, self._profile.quality
        values, letter_box = self._decoder.values(self._encoded, self.pixels, self._cropped)
        decoded = [
            Decoded(known_values(values, profile, n), profile.known_steps(quality, n), quality, n)
            for n in range(1, self.layers + 1)
        ]
        return [DecodedImage(each, letter_box=letter_box) for each in decoded]


def _pixels(encoded: bytes, most: int) -> int:
    """The number of pixels by the header of a picture; raises as `PictureInput`."""
    if not is_image(encoded):
        raise UnknownMedia("send a JPEG, PNG or WebP, or payloads as application/vnd.overtone")
    size = dimensions(encoded)
    if size is None or not all(size):
        raise BadRequest("the picture cannot be read (it does not tell its size)")
    pixels = size[0] * size[1]
    if pixels > most:
        raise TooLarge(f"{pixels} pixels; the server accepts {most}")
    return pixels


def profile_id_of(payloads: Sequence[bytes]) -> bytes:
    """The id of the profile that an image's first layer was encoded for; empty if its header cannot be read."""
    with contextlib.suppress(FrequencyError, IndexError):
        return read_header(payloads[0], 1).profile_id or b""
    return b""


def is_image(encoded: bytes) -> bool:
    """Whether these bytes begin like a JPEG, PNG or WebP."""
    webp = encoded[:4] == b"RIFF" and encoded[8:12] == b"WEBP"
    return webp or encoded.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))


@contextmanager
def service_errors() -> Iterator[None]:
    """Raise errors of `frequency` as errors of the service.

    Raises:
        WrongProfile: a payload was encoded for another profile.
        BadRequest: a payload or picture cannot be decoded.
    """
    try:
        yield
    except WrongProfileError as error:
        raise WrongProfile(str(error)) from None
    except (FrequencyError, ImageError) as error:
        raise BadRequest(str(error)) from None
