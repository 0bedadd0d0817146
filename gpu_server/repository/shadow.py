"""Shadow versions: they judge a share of the images that another version answers, only for a comparison."""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from overtone.gpu_server.answer import Answer, NeedMore, Options
from overtone.gpu_server.decoded_image import DecodedImage
from overtone.gpu_server.errors import ServiceError
from overtone.gpu_server.repository.model_metrics import ServingRole

if TYPE_CHECKING:
    from overtone.gpu_server.core import Core

log = logging.getLogger(__name__)

# Images that may be with a candidate at one time.
MOST = 4


class Shadow:
    """Has a candidate judge a share of the images of another core.

    The candidate gets images as they were decoded for that core, so both must have the same profile. It gets none while
    an image waits for a network, and no answer waits for it.

    Args:
        candidate: the core that is compared.
        share: the share of images that it judges, from 0 to 1.
        others_busy: whether an image waits for another network than the candidate's.

    Attributes:
        candidate: the same.
        tasks: the judgements in progress.
    """

    def __init__(self, candidate: "Core", share: float, others_busy: Callable[[], bool]) -> None:
        self.candidate = candidate
        self.tasks: set[asyncio.Task[None]] = set()
        self._share = share
        self._others_busy = others_busy

    @property
    def busy(self) -> bool:
        """Whether the candidate gets no images now; images of this shadow that wait for it do not count."""
        return self._others_busy() or (len(self.tasks) >= MOST if self.tasks else self.candidate.busy)

    @classmethod
    def of(
        cls, served: "Core", candidate: "Core", share: float, others_busy: Callable[[], bool]
    ) -> "Shadow | None":
        """A shadow of `served`; None, and a warning in the log, if the candidate cannot decode the same images."""
        if (served.profile.id, served.task.name) == (candidate.profile.id, candidate.task.name):
            return cls(candidate, share, others_busy)
        log.warning(
            "%s is no shadow: it cannot read what is encoded for %s, which has another profile or task",
            *(f"{core.name}:{core.version}" for core in (candidate, served)),
        )
        return None

    def begin(self) -> "Trial | None":
        """A trial for a new image, or None if the image is not in the share."""
        return Trial(self) if random.random() < self._share else None


class Trial:
    """The comparison for one image: the candidate judges it after the same layers until it has an answer too."""

    def __init__(self, shadow: Shadow) -> None:
        self._shadow = shadow
        self._last: asyncio.Task[None] | None = None
        self._judged: Answer | NeedMore | None = None
        self._dropped = self._failed = False
        self._size = 0
        self._wanted: list[int] = []

    def judge(self, layers: int, image: DecodedImage, size: int, options: Options) -> None:
        """Have the candidate judge the image, in the background.

        Args:
            layers: after how many of its layers.
            image: these layers, decoded.
            size: bytes of the layers that were not judged before.
            options: of the request.
        """
        self._dropped = self._dropped or self._shadow.busy
        if self._dropped:
            return
        work = self._judge(self._last, layers, replace(image, low_row=None, first_row=None), size, options)
        self._last = asyncio.create_task(work, name="overtone-shadow")
        self._shadow.tasks.add(self._last)
        self._last.add_done_callback(self._shadow.tasks.discard)

    def end(self, answer: Answer) -> None:
        """Compare the answer that the device gets with the candidate's, once the candidate is done."""
        if self._dropped or self._last is None:
            self._count("dropped")
        else:
            self._last.add_done_callback(lambda _: self._compare(answer))

    async def _judge(
        self, before: asyncio.Task[None] | None, layers: int, image: DecodedImage, size: int, options: Options
    ) -> None:
        if before is not None:
            await asyncio.wait([before])
        if self._failed or isinstance(self._judged, Answer):
            return
        self._size += size
        if self._judged is not None and layers < self._judged.layers:
            return
        if self._judged is not None:
            image = replace(image, first_row=self._judged.image.first_row)
        try:
            self._judged = await self._shadow.candidate.judge_decoded(layers, image, options)
        except ServiceError:
            self._failed = True
        except Exception:
            self._failed = True
            log.exception("a shadow failed")
        else:
            if isinstance(self._judged, NeedMore):
                self._wanted.append(self._judged.layers)

    def _compare(self, answer: Answer) -> None:
        if self._failed or self._judged is None:
            self._count("failed")
            return
        given = self._judged.so_far if isinstance(self._judged, NeedMore) else self._judged
        candidate = self._shadow.candidate
        self._count("agreed" if candidate.task.agree(given, answer) else "disagreed")
        counts = candidate.counts[ServingRole.SHADOW]
        counts.answered()
        counts.received(self._size)
        for layers in self._wanted:
            counts.escalated(layers)

    def _count(self, outcome: str) -> None:
        self._shadow.candidate.counts[ServingRole.SHADOW].compared(outcome)
