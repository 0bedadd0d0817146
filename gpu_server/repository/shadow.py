"""A version of a model that judges images which another one answers, to be compared; nobody gets its answers."""

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

# Judgements of a candidate that may be under way or wait for it.
MOST = 4


class Shadow:
    """Has a candidate judge a share of the images of another core.

    It gets what has been decoded for that core, so both need the same profile. It gets nothing while an image waits
    for a network, and nothing waits for it.

    Args:
        candidate: what judges them too.
        share: from 0 to 1.
        others_busy: whether an image waits for another network than the candidate's.
    """

    def __init__(self, candidate: "Core", share: float, others_busy: Callable[[], bool]) -> None:
        self.candidate = candidate
        self.tasks: set[asyncio.Task[None]] = set()
        self._share = share
        self._others_busy = others_busy

    @property
    def busy(self) -> bool:
        """Whether it gets nothing now; what waits for the candidate may be its own."""
        return self._others_busy() or (len(self.tasks) >= MOST if self.tasks else self.candidate.busy)

    @classmethod
    def of(
        cls, served: "Core", candidate: "Core", share: float, others_busy: Callable[[], bool]
    ) -> "Shadow | None":
        """What compares the two; a line of the log if that cannot be done."""
        if (served.profile.id, served.task.name) == (candidate.profile.id, candidate.task.name):
            return cls(candidate, share, others_busy)
        log.warning(
            "%s is no shadow: it cannot read what is encoded for %s, which has another profile or task",
            *(f"{core.name}:{core.version}" for core in (candidate, served)),
        )
        return None

    def begin(self) -> "Trial | None":
        """A trial with a new image, if it is in the share."""
        return Trial(self) if random.random() < self._share else None


class Trial:
    """One image, judged by the candidate after the same layers, until it is sure or the image is answered."""

    def __init__(self, shadow: Shadow) -> None:
        self._shadow = shadow
        self._last: asyncio.Task[None] | None = None
        self._judged: Answer | NeedMore | None = None
        self._dropped = self._failed = False
        self._size = 0
        self._wanted: list[int] = []

    def judge(self, layers: int, image: DecodedImage, size: int, options: Options) -> None:
        """Judge it soon after so many layers, which took so many bytes in addition to those before."""
        self._dropped = self._dropped or self._shadow.busy
        if self._dropped:
            return
        work = self._judge(self._last, layers, replace(image, low_row=None, first_row=None), size, options)
        self._last = asyncio.create_task(work, name="overtone-shadow")
        self._shadow.tasks.add(self._last)
        self._last.add_done_callback(self._shadow.tasks.discard)

    def end(self, answer: Answer) -> None:
        """This is what the device was told; compare it when the candidate is done."""
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
