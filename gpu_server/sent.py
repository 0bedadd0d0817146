"""What a device has sent of one image: payloads of some layers, or a whole picture."""

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
from overtone.gpu_server.engine.decoding import Source
from overtone.gpu_server.engine.inference import Prepare
from overtone.gpu_server.errors import BadRequest, TooLarge, UnknownMedia, WrongProfile
from overtone.gpu_server.known import Known
from overtone.gpu_server.pictures.picture_decoder import PictureDecoder
from overtone.gpu_server.pictures.picture_size import dimensions
from overtone.gpu_server.telemetry.metrics import Metrics


class Sent(Protocol):
    """An image of which the first `layers` layers are here; `peer` sent them, and `taken` of their bytes are used."""

    layers: int
    peer: str
    taken: int

    def take(self, layers: int, known: Known | None) -> tuple[Prepare, Source | None]:
        """How to learn what the first so many layers tell, of which some are known, and where."""


class Payloads:
    """The payloads of an image's first layers, or of those that follow what is known.

    Args:
        payloads: in order.
        profile: by which they were written.
        metrics: where bytes are counted, when they are taken or dropped.
        limit: bytes that each may have.
        before: how many layers came before them.
        peer: who sent them.
        letter_box: where the picture lies in the image, if it was told.

    Raises:
        BadRequest: one is too large, or there are none, or more than the profile has layers.
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
        self.taken = 0
        self.layers = before + len(payloads)
        self._letter_box = letter_box
        self._payloads = payloads
        self._before = before
        self._profile = profile
        self._metrics = metrics
        self._check(limit)

    def take(self, layers: int, known: Known | None) -> tuple[Prepare, Source | None]:
        """Decode the payloads up to this layer, on top of what is known; they count as received from now on."""
        count = layers - self._before
        taken, self._payloads, first = self._payloads[:count], self._payloads[count:], self._before + 1
        for number, payload in enumerate(taken, first):
            self._metrics.received.labels(str(number)).inc(len(payload))
            self.taken += len(payload)
        self._before = layers
        return partial(self._decode, taken, known), Source.PAYLOAD

    def hold(self) -> tuple[bytes, ...]:
        """What was not taken and may be later."""
        held, self._payloads = tuple(self._payloads), ()
        return held

    def drop(self) -> None:
        """Count what was not taken, once it is sure that it will not be."""
        self._metrics.dropped.inc(sum(map(len, self._payloads)))

    def _decode(self, payloads: Sequence[bytes], known: Known | None) -> Known:
        with translated():
            decoded = decode(payloads, self._profile, known.decoded if known else None)
        return Known.after(known, decoded, self._profile.ladder, self._letter_box)

    def _check(self, limit: int) -> None:
        most = len(self._profile.ladder)
        if not 1 <= self.layers <= most:
            raise BadRequest(f"need the payloads of 1 to {most} layers, got {self.layers}")
        largest = max(map(len, self._payloads), default=0)
        if largest > limit:
            raise TooLarge(f"a payload of {largest} bytes; the server accepts {limit}")


class Picture:
    """A JPEG, PNG or WebP; its layers are those that a device would have sent at the profile's quality.

    Args:
        encoded: the file.
        decoder: decodes it, for its profile.
        metrics: where its bytes are counted.
        most_pixels: that it may have.
        cropped: as in `frequency.fit`, where it is not letter-boxed.
        peer: who sent it.

    Raises:
        UnknownMedia: it is none of these.
        BadRequest: it does not tell its size.
        TooLarge: it has more pixels.
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
        self.taken = 0
        self._profile = decoder.profile
        self.layers = len(self._profile.ladder)
        self.pixels = _pixels(encoded, most_pixels)
        self._encoded = encoded
        self._decoder = decoder
        self._cropped = cropped
        self._told: list[Known] = []
        metrics.received.labels("picture").inc(len(encoded))

    def take(self, layers: int, known: Known | None) -> tuple[Prepare, Source | None]:
        """Decode the picture the first time; later there is nothing to decode."""
        self.taken = len(self._encoded)
        return partial(self._tell, layers, known), None if self._told else Source.IMAGE

    def _tell(self, layers: int, known: Known | None) -> Known:
        self._told = self._told or self._open()
        told = self._told[layers - 1]
        return Known.after(known, told.decoded, self._profile.ladder, told.letter_box)

    def _open(self) -> list[Known]:
        """What each number of layers tells."""
        profile, quality = self._profile, self._profile.quality
        values, letter_box = self._decoder.values(self._encoded, self.pixels, self._cropped)
        decoded = [
            Decoded(known_values(values, profile, n), profile.known_steps(quality, n), quality, n)
            for n in range(1, self.layers + 1)
        ]
        return [Known(each, letter_box=letter_box) for each in decoded]


def _pixels(encoded: bytes, most: int) -> int:
    """The pixels that a picture says it has; refused are formats that are not meant to be sent here, and too many."""
    if not is_image(encoded):
        raise UnknownMedia("send a JPEG, PNG or WebP, or payloads as application/vnd.overtone")
    size = dimensions(encoded)
    if size is None or not all(size):
        raise BadRequest("the picture cannot be read (it does not tell its size)")
    pixels = size[0] * size[1]
    if pixels > most:
        raise TooLarge(f"{pixels} pixels; the server accepts {most}")
    return pixels


def encoded_for(payloads: Sequence[bytes]) -> bytes:
    """The id of the profile that an image's first layer was encoded for; nothing if it cannot be read."""
    with contextlib.suppress(FrequencyError, IndexError):
        return read_header(payloads[0], 1).profile_id or b""
    return b""


def is_image(encoded: bytes) -> bool:
    """Whether these bytes begin like a JPEG, PNG or WebP."""
    webp = encoded[:4] == b"RIFF" and encoded[8:12] == b"WEBP"
    return webp or encoded.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))


@contextmanager
def translated() -> Iterator[None]:
    """Errors of `frequency` as errors of the service."""
    try:
        yield
    except WrongProfileError as error:
        raise WrongProfile(str(error)) from None
    except (FrequencyError, ImageError) as error:
        raise BadRequest(str(error)) from None
