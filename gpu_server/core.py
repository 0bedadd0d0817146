"""The service without a transport: payloads and images in, answers or requests for more out."""

import asyncio
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from overtone.frequency import (
    FrequencyError,
    ImageError,
    Profile,
    WrongProfileError,
    coefficients,
    decode_high,
    decode_low,
    fit,
    open_rgb,
    quantise,
    read_header,
)
from overtone.gpu_server.answer import Answer, NeedHigh, Options, Stage, best
from overtone.gpu_server.description import Description
from overtone.gpu_server.engine import Bands, Engine, Inference, Prepare, Source
from overtone.gpu_server.errors import BadRequest, Overloaded, TooLarge, UnknownMedia, WrongProfile
from overtone.gpu_server.metrics import Metrics
from overtone.gpu_server.settings import Settings
from overtone.models import Card, CardError, OperatingPoint

Values = NDArray[np.int16]


class Core:
    """Decides which network to run, whether its result is enough, and what to answer.

    Making one takes milliseconds, for the description; afterwards nothing here blocks the event loop.

    The engine has been started, and `card` is that of its model.
    """

    def __init__(self, card: Card, engine: Engine, settings: Settings, metrics: Metrics) -> None:
        self.card = card
        self.profile: Profile = card.profile
        self.description = Description.of(card)
        self._engine = engine
        self._settings = settings
        self._metrics = metrics

    def check(self, options: Options) -> None:
        """Refuse options that cannot be met, before anything is decoded.

        Raises:
            BadRequest: no such operating point.
        """
        self._point(options)

    async def low(self, payload: bytes, options: Options, high_sent: bool = False) -> Answer | NeedHigh:
        """The answer of the low network, or a request for high.

        An overloaded server does not ask for high: it gives the low answer, as a brown-out. If high has been
        sent already, its bytes are spent, so it is used in any case.

        Raises:
            ServiceError: any of the family.
        """
        self._check_size(payload)
        self._metrics.received.labels("low").inc(len(payload))
        with translated():
            header = read_header(payload)
        result = await self._low(
            lambda: self._decode_low(payload), header.quality, options, header.high_size, Source.PAYLOAD
        )
        if isinstance(result, Answer):
            return result
        if self._engine.overloaded and not high_sent:
            return self._brown_out(result)
        self._metrics.escalations.inc()
        return result

    async def high(
        self, low: bytes, high: bytes, options: Options, low_result: NeedHigh | None = None
    ) -> Answer:
        """The answer of the high network, from both payloads of one image.

        If the high queue is full and `low_result` is given, the answer is a brown-out with it.

        Raises:
            ServiceError: any of the family.
        """
        self._check_size(high)
        self._metrics.received.labels("high").inc(len(high))
        known = low_result.probabilities if low_result else None
        return await self._high(
            lambda: replace(self._decode_both(low, high), low_probabilities=known),
            _quality(low),
            options,
            low_result,
            Source.PAYLOAD,
        )

    async def classify(self, low: bytes, high: bytes, options: Options) -> Answer:
        """Both payloads at once: low first, then high if low is not sure."""
        result = None
        try:
            result = await self.low(low, options, high_sent=True)
        finally:
            if not isinstance(result, NeedHigh):
                self._metrics.dropped.inc(len(high))
        return result if isinstance(result, Answer) else await self.high(low, high, options, result)

    async def joined(self, payload: bytes, options: Options) -> Answer:
        """The same as `classify`, for both payloads in one piece, low first."""
        with translated():
            size = read_header(payload).high_size or 0
        if not 0 < size < len(payload):
            raise BadRequest(f"need low and high in one piece; {len(payload)} bytes do not hold both")
        return await self.classify(payload[:-size], payload[-size:], options)

    async def image(self, encoded: bytes, options: Options, *, cropped: bool = False) -> Answer:
        """A JPEG, PNG or WebP of any size, for a device that cannot do the DCT; `cropped` as in `fit`."""
        decoded: list[Bands] = []

        def prepare() -> Bands:
            decoded.append(self._from_image(encoded, cropped))
            return decoded[0]

        self._metrics.received.labels("picture").inc(len(encoded))
        quality = self.profile.quality
        result = await self._low(prepare, quality, options, None, Source.IMAGE)
        if isinstance(result, Answer):
            return result
        self._metrics.escalations.inc()
        bands = replace(decoded.pop(), low_probabilities=result.probabilities)
        return await self._high(lambda: bands, quality, options, result, None)

    def _brown_out(self, need: NeedHigh) -> Answer:
        self._metrics.answers.labels(Stage.BROWNOUT).inc()
        return need.low

    async def _low(
        self, prepare: Prepare, quality: int, options: Options, high_bytes: int | None, source: Source
    ) -> Answer | NeedHigh:
        point = self._point(options, quality)
        inference = await self._submit(Stage.LOW, prepare, options, source)
        if point.escalates(inference.probabilities):
            unsure = self._answer(Stage.BROWNOUT, inference, options, confident=False)
            return NeedHigh(unsure, high_bytes, inference.probabilities)
        self._metrics.answers.labels(Stage.LOW).inc()
        return self._answer(Stage.LOW, inference, options, confident=True)

    async def _high(
        self,
        prepare: Prepare,
        quality: int,
        options: Options,
        low_result: NeedHigh | None,
        source: Source | None,
    ) -> Answer:
        point = self._point(options, quality)
        try:
            inference = await self._submit(Stage.HIGH, prepare, options, source)
        except Overloaded:
            if low_result is None:
                raise
            return self._brown_out(low_result)
        self._metrics.answers.labels(Stage.HIGH).inc()
        confident = bool(inference.probabilities.max() >= point.threshold)
        answer = self._answer(Stage.HIGH, inference, options, confident)
        return replace(answer, timings=answer.timings + low_result.low.timings) if low_result else answer

    async def _submit(
        self, stage: Stage, prepare: Prepare, options: Options, source: Source | None
    ) -> Inference:
        limit = asyncio.get_running_loop().time() + self._settings.deadline
        expires = limit if options.expires is None else min(limit, options.expires)
        return await self._engine.submit(stage, partial(_translate, prepare), expires, source)

    def _answer(self, stage: Stage, inference: Inference, options: Options, confident: bool) -> Answer:
        top = best(inference.probabilities, self.profile.labels, min(options.top, self._settings.max_top))
        return Answer(stage, top, confident, inference.timings)

    def _point(self, options: Options, quality: int | None = None) -> OperatingPoint:
        try:
            return self.card.point(options.operating_point or None, quality)
        except CardError as error:
            raise BadRequest(str(error)) from None

    def _check_size(self, payload: bytes) -> None:
        if len(payload) > self._settings.max_payload_bytes:
            raise TooLarge(
                f"a payload of {len(payload)} bytes; the server accepts {self._settings.max_payload_bytes}"
            )

    def _decode_low(self, payload: bytes) -> Bands:
        values = decode_low(payload, self.profile)
        return Bands(values, self.profile.low_steps(read_header(payload).quality))

    def _decode_both(self, low: bytes, high: bytes) -> Bands:
        bands = self._decode_low(low)
        values = decode_high(high, bands.low, self.profile)
        return Bands(bands.low, bands.low_steps, values, self.profile.high_steps(read_header(high).quality))

    def _from_image(self, encoded: bytes, cropped: bool) -> Bands:
        self._check_image(encoded)
        profile = self.profile
        pixels = fit(open_rgb(encoded, profile.size), profile.size, cropped=cropped)
        values = coefficients(pixels, profile.low + profile.high)
        low_steps, high_steps = profile.low_steps(profile.quality), profile.high_steps(profile.quality)
        threshold, middle = profile.threshold(profile.quality), len(profile.low)
        low = quantise(values[:middle], low_steps, threshold)
        return Bands(low, low_steps, quantise(values[middle:], high_steps, threshold), high_steps)

    def _check_image(self, encoded: bytes) -> None:
        """Refuse formats that are not meant to be sent here, and more pixels than one request may cost."""
        if not is_image(encoded):
            raise UnknownMedia("send a JPEG, PNG or WebP, or both payloads as application/vnd.overtone")
        try:
            with Image.open(io.BytesIO(encoded), formats=("JPEG", "PNG", "WEBP")) as opened:
                pixels = opened.width * opened.height
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise BadRequest(f"the image cannot be read ({error})") from None
        if pixels > self._settings.max_image_pixels:
            raise TooLarge(f"{pixels} pixels; the server accepts {self._settings.max_image_pixels}")


def _quality(payload: bytes) -> int:
    with translated():
        return read_header(payload).quality


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


def _translate(prepare: Prepare) -> Bands:
    with translated():
        return prepare()
