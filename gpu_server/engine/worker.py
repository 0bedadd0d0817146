"""A worker: one thread that runs batches through one network, and tests the network after a batch has failed."""

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

# Capturing CUDA graphs tolerates nothing that other threads do with CUDA meanwhile.
_warming = threading.Lock()


@dataclass(slots=True)
class Batch:
    """Images that go through the network together; `began` and `compute` are seconds by the engine's clock."""

    stage: Stage
    tickets: list[Ticket]
    began: float
    compute: float = 0.0


class Employer(Protocol):
    """Where a worker gets its batches; all of it is called in the worker's thread."""

    def next_batch(self, worker: "Worker") -> Batch | None:
        """The next images to run, as soon as there are any; None once there will be no more."""

    def done(
        self, worker: "Worker", batch: Batch, rows: NDArray[np.float32], finite: NDArray[np.bool_]
    ) -> None:
        """A batch has its rows, of which some may not be finite."""

    def failed(self, worker: "Worker", batch: Batch, error: Exception) -> None:
        """A batch has none."""

    def dropped(self, worker: "Worker") -> None:
        """The worker could not take a batch; what waits is in the way."""

    def down(self, worker: "Worker", reason: str) -> None:
        """Its network fails."""

    def up(self, worker: "Worker") -> None:
        """Its network works again."""

    def warmed(self, worker: "Worker", problem: Exception | None) -> None:
        """Its network is warm, or cannot be."""

    def ended(self, worker: "Worker") -> None:
        """The thread ends though nobody has stopped it."""


@dataclass(eq=False)
class Worker:
    """Runs batches of an employer until `stop` is set.

    Attributes:
        running: the images that are in the network now.
    """

    network: Network
    employer: Employer
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
                self.employer.ended(self)

    def _warm(self) -> bool:
        problem: Exception | None = None
        try:
            with _warming:
                self.network.warm()
        except Exception as error:
            problem = error
        self.employer.warmed(self, problem)
        return problem is None

    def _run_batches(self) -> bool:
        """Run batches as long as they succeed; return whether that ended because there are no more."""
        try:
            while (batch := self.employer.next_batch(self)) is not None:
                succeeded = self._run(batch)
                # Otherwise its images would be held until the next batch is there.
                del batch
                if not succeeded:
                    return False
            return True
        except Exception:
            log.exception("the batching loop ended and is started again")
            self.employer.dropped(self)
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
            self.employer.failed(self, batch, error)
            return False
        batch.compute = self.clock() - batch.began
        self.employer.done(self, batch, rows, finite)
        return bool(finite.any())

    def _recover(self) -> None:
        """Return as soon as the network works, or there are no more batches."""
        down = False
        while not self.stop.is_set() and (reason := self._probe()) is not None:
            if not down:
                down = True
                log.error("%s; %s runs nothing until it works again", reason, self.name)
                self.employer.down(self, reason)
            self.stop.wait(self.probe_interval)
        if down:
            log.warning("the network works again")
            self.employer.up(self)

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
