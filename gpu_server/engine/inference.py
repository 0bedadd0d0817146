"""What passes between the engine and a network: images as tickets in queues, and rows as results."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from overtone.gpu_server.answer import Stage, Timings
from overtone.gpu_server.decoded_image import DecodedImage
from overtone.gpu_server.errors import ServiceError

Prepare = Callable[[], DecodedImage]


class Network(Protocol):
    """A model's networks on one device, as the engine runs them; `warm` and `run` are called in a worker's thread."""

    def batch_size(self, waiting: int) -> int:
        """How many of the waiting images the next batch should hold, 1 to `waiting`."""

    def example(self) -> DecodedImage:
        """An image with all layers, with which a worker tests whether the network works."""

    def warm(self) -> None:
        """Run every batch size once, so that later batches are fast."""

    def run(self, stage: Stage, images: Sequence[DecodedImage]) -> NDArray[np.float32]:
        """Rows float32[N, K], one for each image: logits of a classifier, or the objects of a detector.

        Images of a batch may have different numbers of layers, and rows of different batches different lengths.
        """


@dataclass(frozen=True, slots=True)
class Inference:
    """The result for one image: the network's row float32[K], the image itself, and seconds in queue and network."""

    row: NDArray[np.float32]
    image: DecodedImage
    timings: Timings


@dataclass(eq=False, slots=True)
class Ticket:
    """One image that waits for a network; subclasses deliver the result, in this process or to another one.

    Attributes:
        stage: the stage of the network that it waits for.
        arrived: when it arrived, in seconds of the engine's clock.
        since: when it arrived, in event loop time.
        expires: event loop time after which nobody wants the result.
        decoded: the image; None until it is decoded.
    """

    stage: Stage
    arrived: float
    since: float
    expires: float
    decoded: DecodedImage | None = None

    @property
    def image(self) -> DecodedImage:
        """The image; only once it has been decoded."""
        assert self.decoded is not None
        return self.decoded

    @property
    def done(self) -> bool:
        """Whether nobody waits for the result any more."""
        raise NotImplementedError

    def succeed(self, inference: Inference) -> None:
        """Deliver the result."""
        raise NotImplementedError

    def fail(self, error: ServiceError) -> None:
        """Deliver an error."""
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
        """Set the result of the future."""
        if not self.future.done():
            self.future.set_result(inference)

    def fail(self, error: Exception) -> None:
        """Set the error of the future. Cancelling it would look as if the client had disconnected."""
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
        """Remove an image if it waits."""
        self.decoding.pop(ticket, None)
        self.ready.pop(ticket, None)

    def drop_unwanted(self, now: float) -> None:
        """Remove images whose request has ended or expired; an expired request ends by its own timer."""
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
