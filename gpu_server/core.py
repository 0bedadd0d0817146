"""The service without a transport: payloads in, answers or a request for more out."""

import asyncio
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from overtone.frequency import (
    FrequencyError,
    PictureError,
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
from overtone.gpu_server.engine import Bands, Engine, Run
from overtone.gpu_server.errors import BadRequest, Shed, TooLarge, UnknownMedia, WrongProfile
from overtone.gpu_server.metrics import Metrics
from overtone.gpu_server.settings import Settings
from overtone.models import Card, CardError, OperatingPoint

Values = NDArray[np.int16]


class Core:
    """Decides: what to run, whether low was enough, what to say.

    Args:
        card: of the model the engine runs.
        engine: already started.
        settings: for the limits.
        metrics: where to count.
    """

    def __init__(self, card: Card, engine: Engine, settings: Settings, metrics: Metrics) -> None:
        self.card = card
        self.profile: Profile = card.profile
        self._engine = engine
        self._settings = settings
        self._metrics = metrics

    def check(self, options: Options) -> None:
        """Refuse options that cannot be met, before anything is decoded.

        Raises:
            BadRequest: no such operating point.
        """
        self._point(options)

    def describe(self, short: bool = False) -> str:
        """The card as JSON, and `certified`: by operating point the qualities its promise is made for.

        Short is what a device needs of it: no profile, no training, and of the operating points only those of
        the default quality. All of them would cost a session as much as ten pictures.
        """
        card, left_out = self.card, set()
        if short:
            main = [p for p in card.operating_points if p.quality in (None, card.profile.quality)]
            card = card.model_copy(update={"operating_points": tuple(main) or card.operating_points})
            left_out = {"profile", "training"}
        said = card.model_dump(mode="json", exclude_none=True, exclude=left_out)
        return json.dumps(said | {"certified": self.card.certified()}, separators=(",", ":"))

    async def low(self, payload: bytes, options: Options, high_at_hand: bool = False) -> Answer | NeedHigh:
        """The low answer, or a request for high.

        When the server is overloaded, high is not asked for: the low answer is given as a brown-out. With
        `high_at_hand` its bytes are spent already, so that high is still used.

        Raises:
            ServiceError: any of the family.
        """
        self._check_size(payload)
        self._metrics.received.labels("low").inc(len(payload))
        with translated():
            header = read_header(payload)
        result = await self._low(lambda: self._decode_low(payload), header.quality, options, header.high_size)
        if isinstance(result, Answer):
            return result
        if self._engine.overloaded and not high_at_hand:
            return self.give_up(result)
        self._metrics.escalations.inc()
        return result

    async def high(self, low: bytes, high: bytes, options: Options, so_far: NeedHigh | None = None) -> Answer:
        """The answer of the high network, from both payloads of one image.

        Args:
            low: the low payload, again.
            high: the high one that belongs to it.
            options: as for low.
            so_far: what low gave; used as a brown-out should the high queue be full.

        Raises:
            ServiceError: any of the family.
        """
        self._check_size(high)
        self._metrics.received.labels("high").inc(len(high))
        known = so_far.probabilities if so_far else None
        return await self._high(
            lambda: replace(self._decode_both(low, high), low_probabilities=known),
            _quality(low),
            options,
            so_far,
        )

    async def classify(self, low: bytes, high: bytes, options: Options) -> Answer:
        """Both payloads at once: low first, high if low is not sure."""
        result = None
        try:
            result = await self.low(low, options, high_at_hand=True)
        finally:
            if not isinstance(result, NeedHigh):
                self._metrics.dropped.inc(len(high))
        return result if isinstance(result, Answer) else await self.high(low, high, options, result)

    async def joined(self, payload: bytes, options: Options) -> Answer:
        """As `classify`, for the two payloads in one piece, low first."""
        with translated():
            size = read_header(payload).high_size or 0
        if not 0 < size < len(payload):
            raise BadRequest(f"need low and high in one piece; {len(payload)} bytes do not hold both")
        return await self.classify(payload[:-size], payload[-size:], options)

    async def picture(self, encoded: bytes, options: Options, *, cropped: bool = False) -> Answer:
        """A JPEG, PNG or WebP of any size, for a device that cannot do the DCT; `cropped` as `fit` has it."""
        made: list[Bands] = []

        def prepare() -> Bands:
            made.append(self._from_picture(encoded, cropped))
            return made[0]

        self._metrics.received.labels("picture").inc(len(encoded))
        quality = self.profile.quality
        result = await self._low(prepare, quality, options)
        if isinstance(result, Answer):
            return result
        self._metrics.escalations.inc()
        known = result.probabilities
        return await self._high(
            lambda: replace(made.pop(), low_probabilities=known), quality, options, result
        )

    def give_up(self, need: NeedHigh) -> Answer:
        """The low answer though it is not sure."""
        self._metrics.answers.labels(Stage.BROWNOUT).inc()
        return need.low

    async def _low(
        self, prepare: Callable[[], Bands], quality: int, options: Options, high_bytes: int | None = None
    ) -> Answer | NeedHigh:
        point = self._point(options, quality)
        run = await self._submit(Stage.LOW, prepare, options)
        if point.escalates(run.probabilities):
            unsure = self._answer(Stage.BROWNOUT, run, options, confident=False)
            return NeedHigh(unsure, high_bytes, run.probabilities)
        self._metrics.answers.labels(Stage.LOW).inc()
        return self._answer(Stage.LOW, run, options, confident=True)

    async def _high(
        self, prepare: Callable[[], Bands], quality: int, options: Options, so_far: NeedHigh | None
    ) -> Answer:
        point = self._point(options, quality)
        try:
            run = await self._submit(Stage.HIGH, prepare, options)
        except Shed:
            if so_far is None:
                raise
            return self.give_up(so_far)
        self._metrics.answers.labels(Stage.HIGH).inc()
        confident = bool(run.probabilities.max() >= point.threshold)
        answer = self._answer(Stage.HIGH, run, options, confident)
        return replace(answer, timings=answer.timings + so_far.low.timings) if so_far else answer

    async def _submit(self, stage: Stage, prepare: Callable[[], Bands], options: Options) -> Run:
        limit = asyncio.get_running_loop().time() + self._settings.deadline
        expires = limit if options.expires is None else min(limit, options.expires)
        return await self._engine.submit(stage, partial(_translate, prepare), expires)

    def _answer(self, stage: Stage, run: Run, options: Options, confident: bool) -> Answer:
        top = best(run.probabilities, self.profile.labels, min(options.top, self._settings.max_top))
        return Answer(stage, top, confident, run.timings)

    def _point(self, options: Options, quality: int | None = None) -> OperatingPoint:
        try:
            return self.card.point(options.operating_point or None, quality)
        except CardError as error:
            raise BadRequest(str(error)) from None

    def _check_size(self, payload: bytes) -> None:
        if len(payload) > self._settings.max_payload_bytes:
            raise TooLarge(
                f"a payload of {len(payload)} bytes; the server takes {self._settings.max_payload_bytes}"
            )

    def _decode_low(self, payload: bytes) -> Bands:
        values = decode_low(payload, self.profile)
        return Bands(values, self.profile.low_steps(read_header(payload).quality))

    def _decode_both(self, low: bytes, high: bytes) -> Bands:
        bands = self._decode_low(low)
        values = decode_high(high, bands.low, self.profile)
        return Bands(bands.low, bands.low_steps, values, self.profile.high_steps(read_header(high).quality))

    def _from_picture(self, encoded: bytes, cropped: bool) -> Bands:
        self._check_picture(encoded)
        profile = self.profile
        pixels = fit(open_rgb(encoded, profile.size), profile.size, cropped=cropped)
        values = coefficients(pixels, profile.low + profile.high)
        low_steps, high_steps = profile.low_steps(profile.quality), profile.high_steps(profile.quality)
        threshold, middle = profile.threshold(profile.quality), len(profile.low)
        low = quantise(values[:middle], low_steps, threshold)
        return Bands(low, low_steps, quantise(values[middle:], high_steps, threshold), high_steps)

    def _check_picture(self, encoded: bytes) -> None:
        """Only formats meant to be sent here, and only as many pixels as one request may cost."""
        if not is_picture(encoded):
            raise UnknownMedia("send a JPEG, PNG or WebP, or both payloads as application/vnd.overtone")
        try:
            with Image.open(io.BytesIO(encoded), formats=("JPEG", "PNG", "WEBP")) as opened:
                pixels = opened.width * opened.height
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise BadRequest(f"the picture cannot be read ({error})") from None
        if pixels > self._settings.max_picture_pixels:
            raise TooLarge(f"{pixels} pixels; the server takes {self._settings.max_picture_pixels}")


def _quality(payload: bytes) -> int:
    with translated():
        return read_header(payload).quality


def is_picture(encoded: bytes) -> bool:
    """Whether these bytes begin as a JPEG, PNG or WebP does."""
    webp = encoded[:4] == b"RIFF" and encoded[8:12] == b"WEBP"
    return webp or encoded.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))


@contextmanager
def translated() -> Iterator[None]:
    """Errors of `frequency` as errors of the service."""
    try:
        yield
    except WrongProfileError as error:
        raise WrongProfile(str(error)) from None
    except (FrequencyError, PictureError) as error:
        raise BadRequest(str(error)) from None


def _translate(prepare: Callable[[], Bands]) -> Bands:
    with translated():
        return prepare()
