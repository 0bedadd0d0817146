"""The core of one model, without a transport: payloads or a picture in, an answer or a request for more layers out.

It stands between the transports (`grpc`, `rest`, `open_inference`) and the engine that runs the networks.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from overtone.frequency import Profile
from overtone.gpu_server.answer import Answer, NeedMore, Options, Stage
from overtone.gpu_server.decoded_image import DecodedImage
from overtone.gpu_server.description import Description
from overtone.gpu_server.engine.engine import Engine, Inference
from overtone.gpu_server.errors import Overloaded
from overtone.gpu_server.image_input import ImageInput, PayloadInput, PictureInput
from overtone.gpu_server.limits.queue_budgets import QueueBudgets
from overtone.gpu_server.pictures.picture_decoder import PictureDecoder
from overtone.gpu_server.repository.model_folder import ONLY, ModelId
from overtone.gpu_server.repository.model_metrics import ModelMetrics, ServingRole
from overtone.gpu_server.repository.shadow import Shadow, Trial
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.tasks.task import Verdict
from overtone.gpu_server.tasks.task_of import task_of
from overtone.gpu_server.telemetry.metrics import Metrics
from overtone.models.any_card import AnyCard


class Core:
    """Judges an image after each layer: which network to run, whether its result is enough, what to ask for.

    An image is judged after the layers that its operating point wants, one number after the other, even where more
    have come already: an early answer spares the larger network. So the answer depends on the image alone and not
    on how it came, unless the server is overloaded, and the point's guarantee holds.

    Making a core takes milliseconds, for the description; afterwards nothing here blocks the event loop.

    Args:
        card: of the model.
        engine: runs the model; it has been started, and is stopped with the core.
        settings: for the limits.
        metrics: where to count.
        generation: a number that no other core of this server has, not even of the same model loaded again.
        model: the name, if it is not the card's, and the version.
        budgets: of what waits, if they are shared with other cores.
    """

    def __init__(
        self,
        card: AnyCard,
        engine: Engine,
        settings: Settings,
        metrics: Metrics,
        generation: int = 0,
        model: ModelId = ONLY,
        budgets: QueueBudgets | None = None,
    ) -> None:
        self.card = card
        self.generation = generation
        self.name, self.version = model.name or card.name, str(model.version)
        # Has another version judge a share of this core's images too; set by the repository.
        self.shadow: Shadow | None = None
        self.profile: Profile = card.profile
        self.task = task_of(card, self.name, settings.max_top)
        self.description = Description.of(card, self.task, self.name)
        self.counts = {role: ModelMetrics(metrics, self.name, self.version, role) for role in ServingRole}
        self._engine = engine
        self._settings = settings
        self._metrics = metrics
        self._decoder = PictureDecoder(
            self.profile, settings.image_seconds, settings.image_memory, letter_boxed=self.task.letter_boxed
        )
        self._budgets = budgets or QueueBudgets(settings, metrics)

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
        """The answer from an image's first layers, or from those that follow `need`; or a request for further layers.

        An overloaded server does not ask for more: it gives the answer so far, as a brown-out. Layers that have
        been sent or promised are used in any case, because their bytes are spent.

        Args:
            payloads: of the layers that have just arrived, in order.
            options: of the request.
            need: the request for these layers; None if they are the first.
            promised: the number of the last layer that the device sends without being asked.
            peer: the sender, who may have a part of all the images that wait for networks.

        Raises:
            ServiceError: any of the family.
        """
        return await self._judge_payloads(payloads, options, need, promised, peer, ask=True)

    async def classify(self, payloads: Sequence[bytes], options: Options, *, peer: str = "") -> Answer:
        """The answer from these first layers, confident or not; `peer` as in `judge`.

        Raises:
            ServiceError: any of the family.
        """
        answer = await self._judge_payloads(payloads, options, None, 0, peer, ask=False)
        assert isinstance(answer, Answer)
        return answer

    async def image(
        self, encoded: bytes, options: Options, *, cropped: bool = False, peer: str = ""
    ) -> Answer:
        """The answer for a JPEG, PNG or WebP of any size, for a device that cannot do the DCT.

        Args:
            encoded: the file.
            options: of the request.
            cropped: as in `frequency.fit`.
            peer: the sender, who may have a part of all the pictures and pixels that are decoded or wait for it.

        Raises:
            ServiceError: any of the family.
        """
        self.check(options)
        most = self._settings.max_image_pixels
        sent = PictureInput(encoded, self._decoder, self._metrics, most, cropped, peer)
        with self._budgets.pictures.holding(1, peer), self._budgets.pixels.holding(sent.pixels, peer):
            answer = await self._climb(sent, options, None, 0, ask=False)
        assert isinstance(answer, Answer)
        return answer

    async def judge_decoded(self, layers: int, image: DecodedImage, options: Options) -> Answer | NeedMore:
        """Judge an image once, which was decoded for another core with the same profile; no metric counts it.

        Args:
            layers: how many of its layers to judge.
            image: at least so many layers, decoded.
            options: as of the request.

        Raises:
            ServiceError: any of the family.
        """
        stage, expires = self._stage(layers), asyncio.get_running_loop().time() + self._settings.deadline
        inference = await self._engine.submit(stage, lambda: image, expires, None)
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
        before, held = (need.image.layers, need.held) if need else (0, ())
        sent = PayloadInput(
            (*held, *payloads),
            self.profile,
            self._metrics,
            limit,
            before,
            peer,
            self.task.letter_box(options),
        )
        try:
            judged = await self._climb(sent, options, need, promised, ask=ask)
            return replace(judged, held=sent.hold()) if isinstance(judged, NeedMore) else judged
        finally:
            sent.drop()

    async def _climb(
        self, sent: ImageInput, options: Options, need: NeedMore | None, promised: int, *, ask: bool
    ) -> Answer | NeedMore:
        """Judge an image as far as its layers have arrived; count an answer, and have the shadow compare its own."""
        trial = need.trial if need else self._trial()
        judged = await self._judge_in_turn(sent, options, need, promised, trial, ask=ask)
        if isinstance(judged, NeedMore):
            return judged if trial is None else replace(judged, trial=trial)
        self._metrics.of(self._metrics.answers, judged.stage).inc()
        self.counts[ServingRole.SERVED].answered()
        if trial is not None:
            trial.end(judged)
        return judged

    def _trial(self) -> Trial | None:
        return self.shadow.begin() if self.shadow else None

    async def _judge_in_turn(
        self,
        sent: ImageInput,
        options: Options,
        need: NeedMore | None,
        promised: int,
        trial: Trial | None,
        *,
        ask: bool,
    ) -> Answer | NeedMore:
        """Judge the image after each number of layers that is wanted, until it is answered or a layer is missing."""
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
            if wanted == judged.image.layers:
                return _brown_out(need) if ask else need.so_far
            self._metrics.escalations.labels(str(wanted)).inc()
            self.counts[ServingRole.SERVED].escalated(wanted)
        return need

    async def _after(
        self, layers: int, sent: ImageInput, options: Options, need: NeedMore | None, trial: Trial | None
    ) -> Answer | NeedMore:
        """Run the network once, on the first so many layers, and judge its result."""
        stage, before = self._stage(layers), sent.bytes_used
        inference = await self._submit(stage, layers, sent, options, need)
        if trial is not None:
            trial.judge(layers, inference.image, sent.bytes_used - before, options)
        return await self._judged(stage, layers, inference, options, need)

    async def _judged(
        self, stage: Stage, layers: int, inference: Inference, options: Options, need: NeedMore | None = None
    ) -> Answer | NeedMore:
        """The answer or the request for more that follows from a network's result."""
        image, found = inference.image, await self._verdict(layers, inference, options)
        timings = inference.timings + need.so_far.timings if need else inference.timings
        answer = Answer(stage, found.top, found.confident, layers, timings, found.detections)
        if found.wanted == layers:
            return answer
        if stage is Stage.LOW:
            image = self.task.remember(image, inference.row)
        return NeedMore(found.wanted, answer, image, blocks=found.blocks)

    async def _verdict(self, layers: int, inference: Inference, options: Options) -> Verdict:
        if self.task.slow:
            return await asyncio.to_thread(self.task.judge, layers, inference, options)
        return self.task.judge(layers, inference, options)

    async def _submit(
        self, stage: Stage, layers: int, sent: ImageInput, options: Options, need: NeedMore | None
    ) -> Inference:
        before = sent.bytes_used
        prepare, source = sent.take(layers, need.image if need else None)
        self.counts[ServingRole.SERVED].received(sent.bytes_used - before)
        limit = asyncio.get_running_loop().time() + self._settings.deadline
        expires = limit if options.expires is None else min(limit, options.expires)
        with self._budgets.images.holding(1, sent.peer):
            return await self._engine.submit(stage, prepare, expires, source)

    def _stage(self, layers: int) -> Stage:
        high = any(layer.band == "high" for layer in self.profile.ladder[:layers])
        return Stage.HIGH if high else Stage.LOW


def _brown_out(need: NeedMore) -> Answer:
    return replace(need.so_far, stage=Stage.BROWNOUT, confident=False)
