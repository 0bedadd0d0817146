"""A network that is on other nodes: a batch goes to any engine, and again to another one if that is lost."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from overtone.frequency import Profile
from overtone.gpu_server.answer import Stage
from overtone.gpu_server.engine.inference import Network
from overtone.gpu_server.engine.moving_average import MovingAverage
from overtone.gpu_server.errors import Unavailable
from overtone.gpu_server.known import Known

log = logging.getLogger(__name__)

# Of the time that a batch may take, the part after which it is sent to another engine.
IMPATIENCE = 0.5
# A batch that takes so many times as long as others have taken may be lost; before, its engine is only busy.
SLOW = 3.0
# Seconds until a batch is sent again.
PAUSE = 0.05


class Lost(Exception):  # noqa: N818 - named after what happened
    """Nobody knows what has become of a batch: its engine, or the node of it, has ended or does not answer."""


class Send(Protocol):
    """Has an engine run a batch, and waits for its rows so many seconds.

    Raises:
        Lost: they do not come. Any other exception is the network's own.
    """

    def __call__(self, stage: Stage, images: Sequence[Known], seconds: float) -> NDArray[np.float32]:
        """Logits float32[N, K]."""


class RemoteNetwork(Network):
    """The network as a face has it; it may be used by several threads at once.

    Args:
        send: reaches the engines.
        profile: of the model.
        sizes: of batches that engines are warm for, ascending from 1.
        patience: seconds after which a batch has failed, fewer than an image may take; more where engines have so much
            to do that their batches take long.
        most: seconds after which it has failed in any case.
    """

    def __init__(
        self,
        send: Send,
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

    def example(self) -> Known:
        """An image without content."""
        return Known.blank(self._profile)

    def warm(self) -> None:
        """Wait until an engine is there and answers, however long its start takes."""
        while True:
            try:
                self._send(Stage.LOW, [self.example()], self._least)
                return
            except Lost as error:
                log.info("no engine answers yet: %s", error)

    def run(self, stage: Stage, images: Sequence[Known]) -> NDArray[np.float32]:
        """Logits float32[N, K]; running a batch twice does no harm, so it is sent until an engine has answered.

        Raises:
            Unavailable: none has in time; clients try again.
        """
        patience = self._patience()
        limit = self._clock() + patience
        while (left := limit - self._clock()) > 0:
            began = self._clock()
            try:
                return self._send(stage, images, min(left, IMPATIENCE * patience))
            except Lost as error:
                log.warning("a batch of %d is sent again: %s", len(images), error)
                time.sleep(PAUSE)
            finally:
                self._learn(self._clock() - began)
        raise Unavailable("no engine answers; try again later", retry_after=1.0)

    def _patience(self) -> float:
        """Seconds for one batch, engines it is sent to in vain included."""
        with self._lock:
            usual = self._usual.value
        return min(self._most, max(self._least, SLOW * usual / IMPATIENCE))

    def _learn(self, seconds: float) -> None:
        """A batch has taken so long, or, if it is lost, at least so long."""
        with self._lock:
            self._usual.add(seconds)
