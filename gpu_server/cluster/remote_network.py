"""The network of a face in a cluster: every batch goes to an engine, and to another one if that does not answer."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from overtone.frequency import Profile
from overtone.gpu_server.answer import Stage
from overtone.gpu_server.decoded_image import DecodedImage
from overtone.gpu_server.engine.inference import Network
from overtone.gpu_server.engine.moving_average import MovingAverage
from overtone.gpu_server.errors import Unavailable

log = logging.getLogger(__name__)

# The part of the time for a batch after which it is sent to another engine.
RESEND_AFTER = 0.5
# A batch counts as lost if it takes so many times as long as others have taken; before, its engine may only be busy.
SLOW = 3.0
# Seconds between two attempts to send a batch.
RETRY_PAUSE = 0.05


class BatchLost(Exception):  # noqa: N818 - named after what happened
    """An engine, or its node, has ended or does not answer; whether it has run the batch is unknown."""


class SendBatch(Protocol):
    """Has an engine run a batch, and waits `seconds` for its rows.

    Raises:
        BatchLost: the rows do not arrive. Any other exception is the network's own.
    """

    def __call__(self, stage: Stage, images: Sequence[DecodedImage], seconds: float) -> NDArray[np.float32]:
        """Rows float32[N, K]."""


class RemoteNetwork(Network):
    """Sends batches to engines; it may be used by several threads at once.

    Args:
        send: has an engine run a batch.
        profile: of the model.
        sizes: batch sizes, ascending from 1.
        patience: seconds after which a batch fails if no engine has run it; while engines are measured to be slow, it
            is longer.
        most: the upper bound of that, in seconds.
        clock: seconds.
    """

    def __init__(
        self,
        send: SendBatch,
        profile: Profile,
        sizes: Sequence[int],
        patience: float,
        most: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._send = send
        self._profile = profile
        self._sizes = sizes
        self._least, self._most = patience, max(patience, most)
        self._clock = clock
        self._usual = MovingAverage()
        self._lock = threading.Lock()

    def batch_size(self, waiting: int) -> int:
        """The largest size that all waiting images fill."""
        return max(size for size in self._sizes if size <= waiting)

    def example(self) -> DecodedImage:
        """An image without content."""
        return DecodedImage.blank(self._profile)

    def warm(self) -> None:
        """Wait until an engine answers, however long its start takes."""
        while True:
            try:
                self._send(Stage.LOW, [self.example()], self._least)
                return
            except BatchLost as error:
                log.info("no engine answers yet: %s", error)

    def run(self, stage: Stage, images: Sequence[DecodedImage]) -> NDArray[np.float32]:
        """Rows float32[N, K]. A batch may run twice without harm, so it is sent again until an engine has answered.

        Raises:
            Unavailable: no engine has answered in time; clients may try again.
        """
        patience = self._patience()
        limit = self._clock() + patience
        while (left := limit - self._clock()) > 0:
            began = self._clock()
            try:
                return self._send(stage, images, min(left, RESEND_AFTER * patience))
            except BatchLost as error:
                log.warning("a batch of %d is sent again: %s", len(images), error)
                time.sleep(RETRY_PAUSE)
            finally:
                self._learn(self._clock() - began)
        raise Unavailable("no engine answers; try again later", retry_after=1.0)

    def _patience(self) -> float:
        """Seconds for one batch, with all attempts."""
        with self._lock:
            usual = self._usual.value
        return min(self._most, max(self._least, SLOW * usual / RESEND_AFTER))

    def _learn(self, seconds: float) -> None:
        """Include the seconds of one attempt; one that was lost would have taken at least so long."""
        with self._lock:
            self._usual.add(seconds)
