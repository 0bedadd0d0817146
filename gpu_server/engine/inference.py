"""What passes between the engine and a network."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from overtone.gpu_server.answer import Stage, Timings
from overtone.gpu_server.errors import ServiceError
from overtone.gpu_server.known import Known

Prepare = Callable[[], Known]


class Network(Protocol):
    """What the engine needs of a network. `warm` and `run` are called in the worker thread."""

    def batch_size(self, waiting: int) -> int:
        """How many of the waiting images the next batch should hold, 1 to `waiting`."""

    def example(self) -> Known:
        """An image with all layers, with which the engine tests whether the network works."""

    def warm(self) -> None:
        """Run every batch size once."""

    def run(self, stage: Stage, images: Sequence[Known]) -> NDArray[np.float32]:
        """A row float32[K] for each image, of which the model's task knows what it means.

        Images of a batch may have different numbers of layers, and rows of different batches different lengths.
        """


@dataclass(frozen=True, slots=True)
class Inference:
    """The result of one image: a network's row float32[K], the image that it is of, and how long it took."""

    row: NDArray[np.float32]
    known: Known
    timings: Timings


@dataclass(eq=False, slots=True)
class Ticket:
    """One image that waits for the network; what becomes of its result is for subclasses to say.

    Attributes:
        stage: the network it waits for.
        arrived: when the request came, by the engine's clock.
        since: when it came, in event loop time.
        expires: event loop time after which nobody wants the result.
        known: the image, once it is decoded.
    """

    stage: Stage
    arrived: float
    since: float
    expires: float
    known: Known | None = None

    @property
    def image(self) -> Known:
        """The image, which has been decoded."""
        assert self.known is not None
        return self.known

    @property
    def done(self) -> bool:
        """Whether nobody waits for the result any more."""
        raise NotImplementedError

    def succeed(self, inference: Inference) -> None:
        """Hand on the result."""
        raise NotImplementedError

    def fail(self, error: ServiceError) -> None:
        """Hand on an error."""
        raise NotImplementedError


@dataclass(eq=False, slots=True)
class Request(Ticket):
    """A ticket whose result is waited for in this process; the future belongs to the event loop."""

    future: asyncio.Future[Inference] = field(kw_only=True)

    @property
    def done(self) -> bool:
        """Whether it has its result, or was cancelled."""
        return self.future.done()

    def succeed(self, inference: Inference) -> None:
        """Give the request its result."""
        if not self.future.done():
            self.future.set_result(inference)

    def fail(self, error: Exception) -> None:
        """Raise the error in the request. A cancellation would look as if the client had disconnected."""
        if not self.future.done():
            self.future.set_exception(error)


@dataclass(slots=True)
class StageQueue:
    """The images that wait for one stage, oldest first: some are not decoded yet, the others are ready."""

    limit: int
    decoding: dict[Ticket, None] = field(default_factory=dict)
    ready: OrderedDict[Ticket, None] = field(default_factory=OrderedDict)

    def depth(self) -> int:
        """How many images wait."""
        return len(self.decoding) + len(self.ready)

    def remove(self, ticket: Ticket) -> None:
        """Forget an image if it waits."""
        self.decoding.pop(ticket, None)
        self.ready.pop(ticket, None)

    def drop_unwanted(self, now: float) -> None:
        """Forget images whose request has ended or expired; the request itself ends by its own timeout."""
        for ticket in [t for t in self.ready if t.expires <= now or t.done]:
            del self.ready[ticket]

    def pop(self, count: int) -> list[Ticket]:
        """Take out the oldest images."""
        return [self.ready.popitem(last=False)[0] for _ in range(count)]

    def clear(self) -> list[Ticket]:
        """Take out everything that is ready."""
        tickets = list(self.ready)
        self.ready.clear()
        return tickets
