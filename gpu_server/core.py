"""The service without a transport: payloads and pictures in, answers or requests for more out."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from overtone.frequency import Profile
from overtone.gpu_server.answer import Answer, NeedMore, Options, Stage, best, softmax
from overtone.gpu_server.budget import Budget
from overtone.gpu_server.description import Description
from overtone.gpu_server.engine import Engine, Inference
from overtone.gpu_server.errors import BadRequest, Overloaded
from overtone.gpu_server.metrics import Metrics
from overtone.gpu_server.pictures import PictureDecoder
from overtone.gpu_server.sent import Payloads, Picture, Sent
from overtone.gpu_server.settings import Settings
from overtone.models import Card, CardError, OperatingPoint


class Core:
    """Judges an image after each layer: which network to run, whether its result is enough, what to ask for.

    An image is judged after the layers that its operating point wants, one number after the other, even where more
    have come already: an early answer spares the larger network. So the answer depends on the image alone and not
    on how it came, unless the server is overloaded, and the point's guarantee holds.

    Making a core takes milliseconds, for the description; afterwards nothing here blocks the event loop.

    The engine has been started, and `card` is that of its model.
    """

    def __init__(
        self, card: Card, engine: Engine, settings: Settings, metrics: Metrics, edition: int = 0
    ) -> None:
        self.card = card
        # Another for every model that a server loads.
        self.edition = edition
        self.profile: Profile = card.profile
        self.description = Description.of(card)
        self._engine = engine
        self._settings = settings
        self._metrics = metrics
        self._points: dict[tuple[str, int | None], OperatingPoint] = {}
        share, refused = settings.peer_share, metrics.refused
        self._decoder = PictureDecoder(self.profile, settings.image_seconds, settings.image_memory)
        waiting = settings.low_queue + settings.high_queue
        self._waiting = Budget(waiting, share, "images", refused("images"))
        self._pictures = Budget(settings.image_queue, share, "pictures", refused("pictures"))
        self._pixels = Budget(settings.image_pixels, share, "pixels", refused("pixels"))

    def close(self) -> None:
        """End the processes that decode pictures."""
        self._decoder.close()

    def check(self, options: Options) -> None:
        """Refuse options that cannot be met, before anything is decoded.

        Raises:
            BadRequest: no such operating point.
        """
        self._point(options)

    async def judge(
        self,
        payloads: Sequence[bytes],
        options: Options,
        need: NeedMore | None = None,
        promised: int = 0,
        *,
        peer: str = "",
    ) -> Answer | NeedMore:
        """The answer from an image's first layers, or from those that follow after `need`; or a request for more.

        An overloaded server does not ask for more: it gives the answer so far, as a brown-out. What has been sent
        already, or is `promised` up to a layer, is used in any case, because its bytes are spent. `peer` may have a
        part of the images that wait for the network at one time.

        Raises:
            ServiceError: any of the family.
        """
        return await self._judge_payloads(payloads, options, need, promised, peer, ask=True)

    async def classify(self, payloads: Sequence[bytes], options: Options, *, peer: str = "") -> Answer:
        """The answer from these first layers, sure or not; `peer` as in `judge`.

        Raises:
            ServiceError: any of the family.
        """
        answer = await self._judge_payloads(payloads, options, None, 0, peer, ask=False)
        assert isinstance(answer, Answer)
        return answer

    async def image(
        self, encoded: bytes, options: Options, *, cropped: bool = False, peer: str = ""
    ) -> Answer:
        """A JPEG, PNG or WebP of any size, for a device that cannot do the DCT; `cropped` as in `fit`.

        `peer` may have a part of the pictures, and of their pixels, that are decoded or wait for it at one time.
        """
        self.check(options)
        most = self._settings.max_image_pixels
        sent = Picture(encoded, self._decoder, self._metrics, most, cropped, peer)
        with self._pictures.holding(1, peer), self._pixels.holding(sent.pixels, peer):
            answer = await self._climb(sent, options, None, 0, ask=False)
        assert isinstance(answer, Answer)
        return answer

    async def _judge_payloads(
        self,
        payloads: Sequence[bytes],
        options: Options,
        need: NeedMore | None,
        promised: int,
        peer: str,
        *,
        ask: bool,
    ) -> Answer | NeedMore:
        self.check(options)
        limit = self._settings.max_payload_bytes
        before, held = (need.known.layers, need.held) if need else (0, ())
        sent = Payloads((*held, *payloads), self.profile, self._metrics, limit, before, peer)
        try:
            judged = await self._climb(sent, options, need, promised, ask=ask)
            return replace(judged, held=sent.hold()) if isinstance(judged, NeedMore) else judged
        finally:
            sent.drop()

    async def _climb(
        self, sent: Sent, options: Options, need: NeedMore | None, promised: int, *, ask: bool
    ) -> Answer | NeedMore:
        """Judge after one number of layers after the other, as far as they are here."""
        coming = max(sent.layers, promised)
        wanted = need.layers if need else 1
        while need is None or wanted <= sent.layers:
            try:
                judged = await self._after(wanted, sent, options, need)
            except Overloaded:
                if need is None:
                    raise
                return self._brown_out(need)
            if isinstance(judged, Answer):
                return self._given(judged)
            more = ask and not self._engine.overloaded
            wanted = judged.layers if more else min(judged.layers, coming)
            need = replace(judged, layers=wanted)
            if wanted == judged.known.layers:
                return self._brown_out(need) if ask else self._given(need.so_far)
            self._metrics.escalations.labels(str(wanted)).inc()
        return need

    async def _after(
        self, layers: int, sent: Sent, options: Options, need: NeedMore | None
    ) -> Answer | NeedMore:
        """Judge once, after so many layers."""
        stage = self._stage(layers)
        inference = await self._submit(stage, layers, sent, options, need)
        known, logits = inference.known, inference.logits
        probabilities = softmax(logits, self.card.temperatures[layers - 1])
        confidence = float(probabilities.max())
        point = self._point(options, known.decoded.quality)
        top = best(probabilities, self.profile.labels, min(options.top, self._settings.max_top))
        timings = inference.timings + need.so_far.timings if need else inference.timings
        answer = Answer(stage, top, point.confident(confidence, layers), layers, timings)
        wanted = point.wanted(confidence, layers)
        if wanted == layers:
            return answer
        if stage is Stage.LOW:
            # A copy, because a row would keep the rows of its whole batch.
            known = replace(known, low_logits=logits.copy())
        return NeedMore(wanted, answer, known)

    async def _submit(
        self, stage: Stage, layers: int, sent: Sent, options: Options, need: NeedMore | None
    ) -> Inference:
        prepare, source = sent.take(layers, need.known if need else None)
        limit = asyncio.get_running_loop().time() + self._settings.deadline
        expires = limit if options.expires is None else min(limit, options.expires)
        with self._waiting.holding(1, sent.peer):
            return await self._engine.submit(stage, prepare, expires, source)

    def _stage(self, layers: int) -> Stage:
        high = any(layer.band == "high" for layer in self.profile.ladder[:layers])
        return Stage.HIGH if high else Stage.LOW

    def _brown_out(self, need: NeedMore) -> Answer:
        return self._given(replace(need.so_far, stage=Stage.BROWNOUT, confident=False))

    def _given(self, answer: Answer) -> Answer:
        self._metrics.of(self._metrics.answers, answer.stage).inc()
        return answer

    def _point(self, options: Options, quality: int | None = None) -> OperatingPoint:
        key = options.operating_point, quality
        if key not in self._points:  # there are few, as neither names nor qualities are invented by devices
            try:
                self._points[key] = self.card.point(options.operating_point or None, quality)
            except CardError as error:
                raise BadRequest(str(error)) from None
        return self._points[key]
