"""A worker: one thread that runs batches through one network, and tests the network after a batch has failed.

It asks the batcher, its `BatchScheduler`, for batches, and reports results and failures to it.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from overtone.gpu_server.answer import Stage
from overtone.gpu_server.engine.inference import Network, Ticket
from overtone.gpu_server.engine.queues import ORDER

log = logging.getLogger(__name__)

# Capturing a CUDA graph fails if another thread uses CUDA meanwhile, so networks are warmed one after the other.
_warming = threading.Lock()


@dataclass(slots=True)
class Batch:
    """Images that go through a network together.

    Attributes:
        stage: the network's stage, LOW or HIGH.
        tickets: the images.
        began: when the batch was formed, in seconds of the engine's clock.
        compute: seconds that the network took, once it is done.
    """

    stage: Stage
    tickets: list[Ticket]
    began: float
    compute: float = 0.0


class BatchScheduler(Protocol):
    """Hands batches to workers and takes their results; every method is called in the thread of the worker given."""

    def next_batch(self, worker: "Worker") -> Batch | None:
        """The next images to run, as soon as there are any; None once there will be no more."""

    def batch_done(
        self, worker: "Worker", batch: Batch, rows: NDArray[np.float32], finite: NDArray[np.bool_]
    ) -> None:
        """Take the rows float32[N, K] of a batch; `finite` bool[N] is False for rows with NaN or infinity."""

    def batch_failed(self, worker: "Worker", batch: Batch, error: Exception) -> None:
        """Take note that the network raised this error for a batch."""

    def scheduling_failed(self, worker: "Worker") -> None:
        """Take note that `next_batch` raised, so that the waiting images are refused instead of failing it again."""

    def network_down(self, worker: "Worker", reason: str) -> None:
        """Take note that the worker's network fails its test."""

    def network_up(self, worker: "Worker") -> None:
        """Take note that the worker's network passes its test again."""

    def network_warmed(self, worker: "Worker", error: Exception | None) -> None:
        """Take note that the worker's network is warm, or that warming it raised this error."""

    def worker_ended(self, worker: "Worker") -> None:
        """Take note that the thread ends although `stop` is not set."""


@dataclass(eq=False)
class Worker:
    """Runs batches through one network until `stop` is set.

    Attributes:
        network: what runs the batches.
        scheduler: where batches come from and results go.
        clock: seconds, for measuring.
        stop: set when the worker is to end.
        probe_interval: seconds between two tests of a network that fails.
        name: of the thread.
        running: the images that are in the network now.
        thread: to be started by the scheduler.
    """

    network: Network
    scheduler: BatchScheduler
    clock: Callable[[], float]
    stop: threading.Event
    probe_interval: float
    name: str
    running: list[Ticket] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._work, name=self.name, daemon=True)

    def _work(self) -> None:
        """Warm, then run batches; whenever one fails, wait until the network works again."""
        if not self._warm():
            return
        try:
            while not self.stop.is_set():
                if not self._run_batches():
                    self._recover()
        finally:
            if not self.stop.is_set():
                log.critical("%s runs no more batches; restart the server", self.name)
                self.scheduler.worker_ended(self)

    def _warm(self) -> bool:
        failure: Exception | None = None
        try:
            with _warming:
                self.network.warm()
        except Exception as error:
            failure = error
        self.scheduler.network_warmed(self, failure)
        return failure is None

    def _run_batches(self) -> bool:
        """Run batches as long as they succeed; return whether that ended because there are no more."""
        try:
            while (batch := self.scheduler.next_batch(self)) is not None:
                succeeded = self._run(batch)
                # Otherwise this variable would keep the images alive until the next batch is formed.
                del batch
                if not succeeded:
                    return False
            return True
        except Exception:
            log.exception("the batching loop ended and is started again")
            self.scheduler.scheduling_failed(self)
            return False

    def _run(self, batch: Batch) -> bool:
        """Run a batch and have its results delivered; return whether any of its images succeeded."""
        count = len(batch.tickets)
        try:
            rows = self.network.run(batch.stage, [ticket.image for ticket in batch.tickets])
            if len(rows) != count:
                raise ValueError(f"{len(rows)} rows for {count} images")
            finite = np.asarray(np.isfinite(rows).all(axis=1))
        except Exception as error:
            log.exception("a batch of %d failed in the %s network", count, batch.stage)
            self.scheduler.batch_failed(self, batch, error)
            return False
        batch.compute = self.clock() - batch.began
        self.scheduler.batch_done(self, batch, rows, finite)
        return bool(finite.any())

    def _recover(self) -> None:
        """Test the network until it works again or the worker is stopped."""
        down = False
        while not self.stop.is_set() and (reason := self._probe()) is not None:
            if not down:
                down = True
                log.error("%s; %s runs nothing until it works again", reason, self.name)
                self.scheduler.network_down(self, reason)
            self.stop.wait(self.probe_interval)
        if down:
            log.warning("the network works again")
            self.scheduler.network_up(self)

    def _probe(self) -> str | None:
        """Run an example through both stages; return what is wrong with the network, None if nothing is."""
        try:
            self.network.batch_size(1)
            example = self.network.example()
            for stage in ORDER:
                if not np.isfinite(self.network.run(stage, [example])).all():
                    raise ArithmeticError(f"the {stage} network returned values that are not numbers")
        except Exception as error:
            log.debug("a probe failed", exc_info=True)
            return f"the network fails ({type(error).__name__})"
        return None
