"""The service without a transport: payloads and pictures in, answers or requests for more out."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from overtone.frequency import Profile
from overtone.gpu_server.answer import Answer, NeedMore, Options, Stage
from overtone.gpu_server.description import Description
from overtone.gpu_server.engine.engine import Engine, Inference
from overtone.gpu_server.errors import Overloaded
from overtone.gpu_server.known import Known
from overtone.gpu_server.limits.room import Room
from overtone.gpu_server.pictures.picture_decoder import PictureDecoder
from overtone.gpu_server.repository.cards import AnyCard
from overtone.gpu_server.repository.model_counts import ModelCounts, Role
from overtone.gpu_server.repository.model_folder import ONLY, ModelId
from overtone.gpu_server.repository.shadow import Shadow, Trial
from overtone.gpu_server.sent import Payloads, Picture, Sent
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.tasks.task import Verdict
from overtone.gpu_server.tasks.task_of import task_of
from overtone.gpu_server.telemetry.metrics import Metrics


class Core:
    """Judges an image after each layer: which network to run, whether its result is enough, what to ask for.

    An image is judged after the layers that its operating point wants, one number after the other, even where more
    have come already: an early answer spares the larger network. So the answer depends on the image alone and not
    on how it came, unless the server is overloaded, and the point's guarantee holds.

    Making a core takes milliseconds, for the description; afterwards nothing here blocks the event loop.

    Args:
        card: of the model.
        engine: has been started, and is stopped with the core.
        settings: for the limits.
        metrics: where to count.
        edition: another for every model that a server loads.
        model: its name, if that is not the card's, and version.
        room: for what waits, if other cores have a part in it.
    """

    def __init__(
        self,
        card: AnyCard,
        engine: Engine,
        settings: Settings,
        metrics: Metrics,
        edition: int = 0,
        model: ModelId = ONLY,
        room: Room | None = None,
    ) -> None:
        self.card = card
        self.edition = edition
        self.name, self.version = model.name or card.name, str(model.version)
        # What else judges images that this core answers.
        self.shadow: Shadow | None = None
        self.profile: Profile = card.profile
        self.task = task_of(card, self.name, settings.max_top)
        self.description = Description.of(card, self.task, self.name)
        self.counts = {role: ModelCounts(metrics, self.name, self.version, role) for role in Role}
        self._engine = engine
        self._settings = settings
        self._metrics = metrics
        self._decoder = PictureDecoder(
            self.profile, settings.image_seconds, settings.image_memory, letter_boxed=self.task.letter_boxed
        )
        self._room = room or Room(settings, metrics)

    async def stop(self) -> None:
        """Stop the engine and the processes that decode pictures."""
        await self._engine.stop()
        self._decoder.close()

    @property
    def failure(self) -> str | None:
        """Why every image is refused; None while the network works."""
        return self._engine.failure

    @property
    def busy(self) -> bool:
        """Whether images wait for the network."""
        return self._engine.waiting

    def check(self, options: Options) -> None:
        """Refuse options that cannot be met, before anything is decoded.

        Raises:
            BadRequest: no such operating point, or another task than the model's.
        """
        self.task.check(options)

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
        with self._room.pictures.holding(1, peer), self._room.pixels.holding(sent.pixels, peer):
            answer = await self._climb(sent, options, None, 0, ask=False)
        assert isinstance(answer, Answer)
        return answer

    async def judge_known(self, layers: int, known: Known, options: Options) -> Answer | NeedMore:
        """Judge once, after so many layers, what has been decoded for a core with the same profile; it is not counted.

        Raises:
            ServiceError: any of the family.
        """
        stage, expires = self._stage(layers), asyncio.get_running_loop().time() + self._settings.deadline
        inference = await self._engine.submit(stage, lambda: known, expires, None)
        return await self._judged(stage, layers, inference, options)

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
        sent = Payloads(
            (*held, *payloads), self.profile, self._metrics, limit, before, peer, self.task.boxed(options)
        )
        try:
            judged = await self._climb(sent, options, need, promised, ask=ask)
            return replace(judged, held=sent.hold()) if isinstance(judged, NeedMore) else judged
        finally:
            sent.drop()

    async def _climb(
        self, sent: Sent, options: Options, need: NeedMore | None, promised: int, *, ask: bool
    ) -> Answer | NeedMore:
        """Judge an image as far as its layers are here; an answer is counted, and compared with that of a shadow."""
        trial = need.trial if need else self._trial()
        judged = await self._judge_in_turn(sent, options, need, promised, trial, ask=ask)
        if isinstance(judged, NeedMore):
            return judged if trial is None else replace(judged, trial=trial)
        self._metrics.of(self._metrics.answers, judged.stage).inc()
        self.counts[Role.SERVED].answered()
        if trial is not None:
            trial.end(judged)
        return judged

    def _trial(self) -> Trial | None:
        return self.shadow.begin() if self.shadow else None

    async def _judge_in_turn(
        self,
        sent: Sent,
        options: Options,
        need: NeedMore | None,
        promised: int,
        trial: Trial | None,
        *,
        ask: bool,
    ) -> Answer | NeedMore:
        """Judge after one number of layers after the other."""
        coming = max(sent.layers, promised)
        wanted = need.layers if need else 1
        while need is None or wanted <= sent.layers:
            try:
                judged = await self._after(wanted, sent, options, need, trial)
            except Overloaded:
                if need is None:
                    raise
                return _brown_out(need)
            if isinstance(judged, Answer):
                return judged
            more = ask and not self._engine.overloaded
            wanted = judged.layers if more else min(judged.layers, coming)
            need = replace(judged, layers=wanted)
            if wanted == judged.known.layers:
                return _brown_out(need) if ask else need.so_far
            self._metrics.escalations.labels(str(wanted)).inc()
            self.counts[Role.SERVED].escalated(wanted)
        return need

    async def _after(
        self, layers: int, sent: Sent, options: Options, need: NeedMore | None, trial: Trial | None
    ) -> Answer | NeedMore:
        """Judge once, after so many layers."""
        stage, before = self._stage(layers), sent.taken
        inference = await self._submit(stage, layers, sent, options, need)
        if trial is not None:
            trial.judge(layers, inference.known, sent.taken - before, options)
        return await self._judged(stage, layers, inference, options, need)

    async def _judged(
        self, stage: Stage, layers: int, inference: Inference, options: Options, need: NeedMore | None = None
    ) -> Answer | NeedMore:
        """What the network's result means."""
        known, found = inference.known, await self._verdict(layers, inference, options)
        timings = inference.timings + need.so_far.timings if need else inference.timings
        answer = Answer(stage, found.top, found.confident, layers, timings, found.detections)
        if found.wanted == layers:
            return answer
        if stage is Stage.LOW:
            known = self.task.remember(known, inference.row)
        return NeedMore(found.wanted, answer, known, blocks=found.blocks)

    async def _verdict(self, layers: int, inference: Inference, options: Options) -> Verdict:
        if self.task.slow:
            return await asyncio.to_thread(self.task.judge, layers, inference, options)
        return self.task.judge(layers, inference, options)

    async def _submit(
        self, stage: Stage, layers: int, sent: Sent, options: Options, need: NeedMore | None
    ) -> Inference:
        before = sent.taken
        prepare, source = sent.take(layers, need.known if need else None)
        self.counts[Role.SERVED].received(sent.taken - before)
        limit = asyncio.get_running_loop().time() + self._settings.deadline
        expires = limit if options.expires is None else min(limit, options.expires)
        with self._room.images.holding(1, sent.peer):
            return await self._engine.submit(stage, prepare, expires, source)

    def _stage(self, layers: int) -> Stage:
        high = any(layer.band == "high" for layer in self.profile.ladder[:layers])
        return Stage.HIGH if high else Stage.LOW


def _brown_out(need: NeedMore) -> Answer:
    return replace(need.so_far, stage=Stage.BROWNOUT, confident=False)
